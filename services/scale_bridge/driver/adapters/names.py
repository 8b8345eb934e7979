"""The endpoint of a scale: its address, or its name resolved once, checked by the policy."""

import asyncio
import socket
from ipaddress import IPv4Address

from services.scale_bridge.driver.domain.address import Endpoint, Policy, admit, target
from services.scale_bridge.driver.domain.fault import Unreachable


async def resolve(text: str, port: int, policy: Policy) -> Endpoint:
    """The endpoint to connect to (R14). Raises BadAddress, Unreachable if a name has no address."""
    where = target(text, port, policy)
    if isinstance(where, Endpoint):
        return where
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(
            where, port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
    except OSError:
        raise Unreachable from None
    if not answers:
        raise Unreachable
    return admit(IPv4Address(answers[0][4][0]), port, policy)
