"""Allowed and forbidden addresses of a scale (R14)."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from services.scale_bridge.driver.domain.address import (
    BadAddress,
    Endpoint,
    Flaw,
    Policy,
    admit,
    parse_networks,
    parse_ports,
    target,
)

SHOP = Policy(networks=parse_networks("192.168.0.0/16,10.1.0.0/16"), ports=parse_ports("1111"))
ANY = Policy(networks=parse_networks("0.0.0.0/0"), names=True)

KINDS = ["127.0.0.1", "127.8.8.8", "169.254.1.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"]
SYNTAXES = [
    *("192.168.1", "192.168.01.5", "0x7f.0.0.1", "2130706433", "127.1", "0x7f000001", "::1", ""),
    *("::ffff:127.0.0.1", "192.168.1.5 ", "192.168.1.5\n", "192.168.1.5:80", "192.168.1.5/24"),
    "http://192.168.1.5",
]
REFUSED = [
    *((text, 1111, Flaw.KIND) for text in [*KINDS, "255.255.255.255"]),
    *((text, 1111, Flaw.NETWORK) for text in ("8.8.8.8", "10.2.0.1")),
    *(("192.168.1.5", port, Flaw.PORT) for port in (22, 0, 65536)),
    *((text, 1111, Flaw.SYNTAX) for text in SYNTAXES),
    ("scale.shop", 1111, Flaw.NAME),
]


@pytest.mark.parametrize(
    ("text", "port", "flaw"), REFUSED, ids=[f"{text!r} {port}" for text, port, _ in REFUSED]
)
def test_an_address_that_is_not_allowed_is_refused(text: str, port: int, flaw: Flaw) -> None:
    with pytest.raises(BadAddress) as caught:
        target(text, port, SHOP)

    assert caught.value.flaw is flaw
    assert text == "" or text not in str(caught.value)


def test_an_allowed_address_is_an_endpoint() -> None:
    assert target("192.168.1.5", 1111, SHOP) == Endpoint(IPv4Address("192.168.1.5"), 1111)
    assert str(target("10.1.2.3", 1111, SHOP)) == "10.1.2.3:1111"


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "239.1.1.1"])
def test_no_setting_allows_metadata_multicast_or_reserved_addresses(address: str) -> None:
    with pytest.raises(BadAddress):
        target(address, 1111, Policy(networks=parse_networks("0.0.0.0/0"), special=True))


def test_loopback_is_allowed_by_a_setting_of_its_own() -> None:
    assert str(target("127.0.0.1", 9, Policy(special=True))) == "127.0.0.1:9"
    with pytest.raises(BadAddress):
        target("127.0.0.1", 1111, ANY)


def test_a_resolved_address_is_checked_like_any_other() -> None:
    assert target("Scale-3.Shop.", 1111, ANY) == "scale-3.shop"
    assert admit(IPv4Address("192.168.1.5"), 1111, ANY).port == 1111
    with pytest.raises(BadAddress):
        admit(IPv4Address("127.0.0.1"), 1111, ANY)


@pytest.mark.parametrize(
    "name", ["-a.b", "a..b", "a_b", "a" * 64, ".".join(["abcd"] * 60), "a.0x1", "я.рф"]
)
def test_an_invalid_name_is_refused_where_names_are_allowed(name: str) -> None:
    with pytest.raises(BadAddress) as caught:
        target(name, 1111, ANY)

    assert caught.value.flaw is Flaw.SYNTAX


def test_lists_are_read_as_people_write_them() -> None:
    assert parse_networks(" 10.0.0.0/8 ,192.168.1.0/24") == (
        IPv4Network("10.0.0.0/8"),
        IPv4Network("192.168.1.0/24"),
    )
    assert parse_ports("1111, 2000-2010") == (range(1111, 1112), range(2000, 2011))


@pytest.mark.parametrize("text", ["0", "65536", "9-5", "x", "1-", "1 2"])
def test_an_invalid_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ports are written like"):
        parse_ports(text)
