"""The client's address, scheme and host, by the connection or by a trusted proxy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, TypeAlias

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class Peer:
    """The client's address, and the `X-Forwarded-…` headers for the service.

    `chain` is `X-Forwarded-For`, `proto` the scheme, `host` the host with its port.
    """

    address: str
    chain: str
    proto: str
    host: str


def peer_of(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], trusted: Networks) -> Peer:
    """The client by the connection, or by the headers of a trusted proxy in front.

    `headers` hold one value per name, the last.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    host = headers.get(b"host", b"").decode("latin-1")
    if not trusted or not is_in(address, trusted):
        return Peer(address, address, scope.get("scheme", "http"), host)
    forwarded_for = _text(headers, b"x-forwarded-for")
    chain = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    real = next((hop for hop in reversed(chain) if not is_in(hop, trusted)), address)
    return Peer(
        real,
        ", ".join([*chain, address]),
        _text(headers, b"x-forwarded-proto") or scope.get("scheme", "http"),
        _text(headers, b"x-forwarded-host") or host,
    )


def is_in(address: str, networks: Networks) -> bool:
    """Whether the address is in one of the networks; False for a malformed address."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
