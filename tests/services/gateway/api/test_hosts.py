"""A door that has a host of its own."""

import pytest

from tests.services.gateway.conftest import KEY, PAGE, Opener, Service

HOSTS = ("scan=scan.shop.example",)


@pytest.mark.parametrize("host", ["scan.shop.example", "SCAN.Shop.Example:8443"])
async def test_a_bound_host_shows_its_door_at_the_root(
    open_gateway: Opener, service: Service, host: str
) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        headers = {"X-API-Key": KEY, "Host": host}
        root = await gateway.get("/", headers=headers)
        state = await gateway.get("/api/v1/dashboard/state", headers=headers)
        nothing = await gateway.get("/.well-known/jwks.json", headers=headers)

    assert (root.status_code, state.status_code, nothing.status_code) == (200, 200, 404)
    assert [request.path for request in service.asked] == ["/", "/api/v1/dashboard/state"]
    assert service.asked[0].headers["X-Forwarded-Host"] == host


async def test_other_hosts_stay_as_they_are(open_gateway: Opener, service: Service) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        about = await gateway.get("/", headers={"Host": "gateway.shop.example"})

    assert about.json()["name"] == "Scanner Logger API"
    assert service.asked == []


@pytest.mark.parametrize(("proxies", "asked"), [(("127.0.0.0/8",), 1), ((), 0)])
async def test_only_a_trusted_proxy_may_say_which_host_was_asked(
    open_gateway: Opener, service: Service, proxies: tuple[str, ...], asked: int
) -> None:
    async with open_gateway(hosts=HOSTS, trusted_proxies=proxies) as gateway:
        headers = {"Origin": PAGE, "X-Forwarded-Host": "scan.shop.example"}
        await gateway.get("/ping", headers=headers)

    assert len(service.asked) == asked
