"""Where a scale is: its address checked, or its name resolved once and what was found checked."""

import asyncio
import socket
from ipaddress import IPv4Address

from services.scale_bridge.driver.domain.address import Endpoint, Policy, admit, target
from services.scale_bridge.driver.domain.fault import Unreachable


async def find(text: str, port: int, policy: Policy) -> Endpoint:
    """The endpoint to connect to (R14). Raises BadAddress, Unreachable if it has none."""
    found = target(text, port, policy)
    if isinstance(found, Endpoint):
        return found
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(
            found, port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
    except OSError:
        raise Unreachable from None
    if not answers:
        raise Unreachable
    return admit(IPv4Address(answers[0][4][0]), port, policy)
