"""A door that has a host of its own, and who is on the other end."""

from ipaddress import ip_network

import pytest

from services.gateway.api.peer import peer_of
from tests.services.gateway.conftest import KEY, PAGE, Opener, Service

HOSTS = ("scan=scan.shop.example",)


@pytest.mark.parametrize("host", ["scan.shop.example", "SCAN.Shop.Example:8443"])
async def test_a_bound_host_has_its_door(open_gateway: Opener, service: Service, host: str) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        headers = {"X-API-Key": KEY, "Host": host}
        statuses = [
            (await gateway.get(path, headers=headers)).status_code
            for path in ("/", "/api/v1/dashboard/state", "/.well-known/jwks.json")
        ]
        other = await gateway.get("/", headers={"Host": "gateway.shop.example"})

    assert statuses == [200, 200, 404]
    assert [request.path for request in service.asked] == ["/", "/api/v1/dashboard/state"]
    assert service.asked[0].headers["X-Forwarded-Host"] == host
    # Other hosts stay as they are.
    assert other.json()["name"] == "Scanner Logger API"


@pytest.mark.parametrize(("proxies", "asked"), [(("127.0.0.0/8",), 1), ((), 0)])
async def test_only_a_trusted_proxy_may_say_which_host_was_asked(
    open_gateway: Opener, service: Service, proxies: tuple[str, ...], asked: int
) -> None:
    async with open_gateway(hosts=HOSTS, trusted_proxies=proxies) as gateway:
        headers = {"Origin": PAGE, "X-Forwarded-Host": "scan.shop.example"}
        await gateway.get("/ping", headers=headers)

    assert len(service.asked) == asked


SCOPE = {"client": ("10.0.0.9", 1234), "scheme": "http"}
HEADERS = {
    b"host": b"gateway:8080",
    b"x-forwarded-for": b"6.6.6.6, 203.0.113.7, 10.0.0.8",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-host": b"scan.example",
}
ITSELF = ("10.0.0.9", "10.0.0.9", "http", "gateway:8080")
CHAIN = "6.6.6.6, 203.0.113.7, 10.0.0.8, 10.0.0.9"


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ((), ITSELF),
        (("10.0.0.0/8",), ("203.0.113.7", CHAIN, "https", "scan.example")),
        (("192.168.0.0/16", "fd00::/8"), ITSELF),
    ],
)
def test_a_client_is_not_believed_about_itself_but_a_trusted_proxy_is(
    trusted: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    peer = peer_of(SCOPE, HEADERS, [ip_network(one) for one in trusted])

    assert (peer.address, peer.chain, peer.proto, peer.host) == expected


def test_a_connection_without_an_address_is_served_too() -> None:
    assert peer_of({"client": None}, {}, [ip_network("10.0.0.0/8")]).address == ""
