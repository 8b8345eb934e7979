"""The address of a scale: networks and ports that are allowed, and addresses that never are (R14).

An address is checked when it is set, when it is changed, and before each connection. A name is
resolved once per connection, and the resulting address is checked and used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Final, TypeAlias

Name: TypeAlias = str
PORTS: Final = range(1, 65536)
PRIVATE: Final = tuple(
    IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
"""The private networks, where shops have their scales."""

_METADATA: Final = frozenset(
    IPv4Address(one) for one in ("169.254.169.254", "100.100.100.200", "192.0.0.192")
)
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


class Flaw(StrEnum):
    """What is wrong with an address."""

    SYNTAX = "syntax"
    NAME = "name"
    KIND = "kind"
    NETWORK = "network"
    PORT = "port"


class BadAddress(ValueError):
    """The address is not allowed. The message is for people and does not repeat the input."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(detail)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One physical scale: the checked address and the port. Leases are per endpoint (R1)."""

    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Addresses that are allowed; `special` adds loopback and link-local, for tests and demos.

    Multicast, unspecified, broadcast and metadata addresses are never allowed.
    """

    networks: Sequence[IPv4Network] = PRIVATE
    ports: Sequence[range] = (PORTS,)
    names: bool = False
    special: bool = False


def target(text: str, port: int, policy: Policy) -> Endpoint | Name:
    """The endpoint in `text`, if it is allowed, or the name to resolve.

    Raises BadAddress.
    """
    _admit_port(port, policy)
    try:
        address = IPv4Address(text)
    except ValueError:
        return _name(text, policy)
    return admit(address, port, policy)


def admit(address: IPv4Address, port: int, policy: Policy) -> Endpoint:
    """The endpoint of a resolved address, if it is allowed. Raises BadAddress."""
    _admit_port(port, policy)
    if _is_forbidden(address):
        raise BadAddress(Flaw.KIND, "an address of this kind cannot be a scale's")
    near = address.is_loopback or address.is_link_local
    if near and not policy.special:
        raise BadAddress(Flaw.KIND, "an address of this kind is not allowed")
    if not near and not any(address in network for network in policy.networks):
        raise BadAddress(Flaw.NETWORK, "the address is in none of the networks allowed")
    return Endpoint(address, port)


def parse_networks(text: str) -> tuple[IPv4Network, ...]:
    """Parse `192.168.1.0/24, 10.0.0.0/8`. Raises ValueError."""
    return tuple(IPv4Network(one.strip()) for one in text.split(",") if one.strip())


def parse_ports(text: str) -> tuple[range, ...]:
    """Parse `1111, 2000-2010`. Raises ValueError."""
    ranges = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        match = _PORTS.fullmatch(one)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if first not in PORTS or last not in PORTS or last < first:
            raise ValueError("ports are written like 1111, 2000-2010")
        ranges.append(range(first, last + 1))
    return tuple(ranges)


def _admit_port(port: int, policy: Policy) -> None:
    if port not in PORTS or not any(port in ports for ports in policy.ports):
        raise BadAddress(Flaw.PORT, "the port is not one of those allowed")


def _is_forbidden(address: IPv4Address) -> bool:
    # 0.0.0.0/8 is this host; 240.0.0.0/4 is reserved and includes broadcast.
    this_host = address in IPv4Network("0.0.0.0/8")
    return this_host or address.is_multicast or address.is_reserved or address in _METADATA


def _name(text: str, policy: Policy) -> Name:
    labels = text.removesuffix(".").split(".")
    is_name = len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    # Some resolvers read a name that ends in a number as an address: 127.1, 2130706433, 0x7f.1.
    if not is_name or _NUMBER.fullmatch(labels[-1]):
        raise BadAddress(
            Flaw.SYNTAX, "an IPv4 address is needed: four numbers with dots between them"
        )
    if not policy.names:
        raise BadAddress(Flaw.NAME, "names are not allowed here, only IPv4 addresses")
    return text.removesuffix(".").lower()
