"""The client's address, scheme and host, by the connection or by a trusted proxy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, TypeAlias

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class Peer:
    """The client's address, and the `X-Forwarded-…` that tell the service of it."""

    address: str
    chain: str
    proto: str
    host: str


def peer_of(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], trusted: Networks) -> Peer:
    """What the connection says, or what a trusted proxy says in front of it.

    `headers` hold one value per name, the last.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    host = headers.get(b"host", b"").decode("latin-1")
    if not trusted or not is_in(address, trusted):
        return Peer(address, address, scope.get("scheme", "http"), host)
    said = _text(headers, b"x-forwarded-for")
    chain = [part.strip() for part in said.split(",") if part.strip()]
    real = next((hop for hop in reversed(chain) if not is_in(hop, trusted)), address)
    return Peer(
        real,
        ", ".join([*chain, address]),
        _text(headers, b"x-forwarded-proto") or scope.get("scheme", "http"),
        _text(headers, b"x-forwarded-host") or host,
    )


def is_in(address: str, networks: Networks) -> bool:
    """Whether an address is in any of the networks; what is no address is in none."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
