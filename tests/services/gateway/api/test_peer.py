"""Who is on the other end."""

from ipaddress import ip_network

from services.gateway.api.peer import peer_of

SCOPE = {"client": ("10.0.0.9", 1234), "scheme": "http"}
HEADERS = {
    b"host": b"gateway:8080",
    b"x-forwarded-for": b"6.6.6.6, 203.0.113.7, 10.0.0.8",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-host": b"scan.example",
}


def test_a_client_is_not_believed_about_itself() -> None:
    peer = peer_of(SCOPE, HEADERS, ())

    assert (peer.address, peer.chain, peer.proto, peer.host) == (
        "10.0.0.9",
        "10.0.0.9",
        "http",
        "gateway:8080",
    )


def test_a_trusted_proxy_says_whom_it_speaks_for() -> None:
    peer = peer_of(SCOPE, HEADERS, [ip_network("10.0.0.0/8")])

    assert peer.address == "203.0.113.7"
    assert peer.chain == "6.6.6.6, 203.0.113.7, 10.0.0.8, 10.0.0.9"
    assert (peer.proto, peer.host) == ("https", "scan.example")


def test_only_the_trusted_networks_are_trusted() -> None:
    peer = peer_of(SCOPE, HEADERS, [ip_network("192.168.0.0/16"), ip_network("fd00::/8")])

    assert peer.address == "10.0.0.9"


def test_a_connection_without_an_address_is_served_too() -> None:
    assert peer_of({"client": None}, {}, [ip_network("10.0.0.0/8")]).address == ""
