"""Where a scale may be: networks and ports that are allowed, kinds of address that never are (R14).

An address is checked when it is given, when it is changed, and again when it is connected to. A
name is resolved once when connecting, and the address found is the one checked and used.
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
"""Where shops have their scales."""

_METADATA: Final = frozenset(
    IPv4Address(one) for one in ("169.254.169.254", "100.100.100.200", "192.0.0.192")
)
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)
_A_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


class Flaw(StrEnum):
    """What is wrong with an address."""

    SYNTAX = "syntax"
    NAME = "name"
    KIND = "kind"
    NETWORK = "network"
    PORT = "port"


class BadAddress(ValueError):
    """A scale may not be there; the message is for people and repeats nothing they sent."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(detail)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One physical scale: the address that was checked, and the port. Leases go by it (R1)."""

    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is allowed. `special` also allows loopback and link-local, for tests and demos.

    Multicast, unspecified, broadcast and metadata addresses are never allowed.
    """

    networks: Sequence[IPv4Network] = PRIVATE
    ports: Sequence[range] = (PORTS,)
    names: bool = False
    special: bool = False


def target(text: str, port: int, policy: Policy) -> Endpoint | Name:
    """Where `text` points: an endpoint that is allowed, or a name to be resolved.

    Raises BadAddress.
    """
    _admit_port(port, policy)
    try:
        address = IPv4Address(text)
    except ValueError:
        return _name(text, policy)
    return admit(address, port, policy)


def admit(address: IPv4Address, port: int, policy: Policy) -> Endpoint:
    """The endpoint, if it is allowed: for addresses a name led to. Raises BadAddress."""
    _admit_port(port, policy)
    if _never(address):
        raise BadAddress(Flaw.KIND, "an address of this kind cannot be a scale's")
    near = address.is_loopback or address.is_link_local
    if near and not policy.special:
        raise BadAddress(Flaw.KIND, "an address of this kind is not allowed")
    if not near and not any(address in network for network in policy.networks):
        raise BadAddress(Flaw.NETWORK, "the address is in none of the networks allowed")
    return Endpoint(address, port)


def parse_networks(text: str) -> tuple[IPv4Network, ...]:
    """Read `192.168.1.0/24, 10.0.0.0/8`. Raises ValueError."""
    return tuple(IPv4Network(one.strip()) for one in text.split(",") if one.strip())


def parse_ports(text: str) -> tuple[range, ...]:
    """Read `1111, 2000-2010`. Raises ValueError."""
    found = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        given = _PORTS.fullmatch(one)
        first = int(given[1]) if given else 0
        last = int(given[2] or first) if given else 0
        if first not in PORTS or last not in PORTS or last < first:
            raise ValueError("ports are written like 1111, 2000-2010")
        found.append(range(first, last + 1))
    return tuple(found)


def _admit_port(port: int, policy: Policy) -> None:
    if port not in PORTS or not any(port in ports for ports in policy.ports):
        raise BadAddress(Flaw.PORT, "the port is not one of those allowed")


def _never(address: IPv4Address) -> bool:
    # 0.0.0.0/8 means this very host, 240.0.0.0/4 means nothing, broadcast among it.
    itself = address in IPv4Network("0.0.0.0/8")
    return itself or address.is_multicast or address.is_reserved or address in _METADATA


def _name(text: str, policy: Policy) -> Name:
    labels = text.removesuffix(".").split(".")
    spelled = len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    # What ends in a number some resolvers read as an address: 127.1, 2130706433, 0x7f.1.
    if not spelled or _A_NUMBER.fullmatch(labels[-1]):
        raise BadAddress(
            Flaw.SYNTAX, "an IPv4 address is needed: four numbers with dots between them"
        )
    if not policy.names:
        raise BadAddress(Flaw.NAME, "names are not allowed here, only IPv4 addresses")
    return text.removesuffix(".").lower()
