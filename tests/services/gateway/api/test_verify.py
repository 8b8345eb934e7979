"""Forward-auth, as Caddy, Traefik and Envoy ask for it."""

import jwt
import pytest
from httpx import ASGITransport, AsyncClient

from tests.services.gateway.conftest import KEY, READER, Keys, Opener, Service, open_app

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
OURS = {"verify_networks": ("127.0.0.1/32",), "trusted_proxies": ("127.0.0.1/32",)}


def asked(method: str, uri: str, key: str = KEY, **more: str) -> dict[str, str]:
    said = {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, "X-API-Key": key}
    return said | {name.replace("_", "-"): value for name, value in more.items()}


async def test_who_may_pass_is_told_to_the_service(open_gateway: Opener, service: Service) -> None:
    async with open_gateway(**OURS) as gateway:
        answer = await gateway.get("/auth/verify", headers=asked("POST", f"/scan{BATCH}?x=1"))

    assert (answer.status_code, answer.content) == (200, b"")
    told = answer.headers
    assert (told["x-tenant"], told["x-service"]) == ("demo", "ingest")
    assert told["x-scopes"] == "scan:read scan:remove scan:write"
    claims = jwt.decode(
        told["authorization"].removeprefix("Bearer "), options={"verify_signature": False}
    )
    assert (claims["sub"], claims["aud"]) == (told["x-subject"], "ingest")
    assert told["cache-control"] == "no-store"
    assert service.asked == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (asked("GET", STATE, key="wrong"), 401),
        (asked("POST", BATCH, key=READER), 403),
        (asked("GET", "/nowhere"), 404),
        (asked("GET", "/auth/verify"), 404),
        (asked("GET", "/scan/nowhere"), 404),
        (asked("GET", "/scan/../metrics"), 400),
        (asked("PUT", STATE), 405),
    ],
)
async def test_who_may_not_pass_reads_why(
    open_gateway: Opener, headers: dict[str, str], status: int
) -> None:
    async with open_gateway(**OURS) as gateway:
        answer = await gateway.get("/auth/verify", headers=headers)

    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert "authorization" not in answer.headers


async def test_where_everybody_may_pass_nobody_is_named(open_gateway: Opener) -> None:
    async with open_gateway(**OURS) as gateway:
        answer = await gateway.get("/auth/verify", headers=asked("GET", "/scan/ping", key=""))

    assert answer.status_code == 200
    assert {"authorization", "x-tenant"}.isdisjoint(answer.headers)


async def test_envoy_asks_behind_our_path_with_the_clients_own_method(
    open_gateway: Opener,
) -> None:
    async with open_gateway(**OURS) as gateway:
        good = await gateway.post(f"/auth/verify/scan{BATCH}?x=1", headers={"X-API-Key": KEY})
        bad = await gateway.get(f"/auth/verify/scan{BATCH}", headers={"X-API-Key": KEY})

    assert (good.status_code, bad.status_code) == (200, 405)


async def test_the_host_that_was_asked_decides_the_door(open_gateway: Opener) -> None:
    async with open_gateway(**OURS, hosts=("scan=scan.shop.example",)) as gateway:
        here = await gateway.get(
            "/auth/verify", headers=asked("GET", "/ping", X_Forwarded_Host="scan.shop.example")
        )
        also = await gateway.get(
            "/auth/verify", headers=asked("GET", "/ping", Host="scan.shop.example")
        )
        there = await gateway.get(
            "/auth/verify", headers=asked("GET", "/ping", X_Forwarded_Host="crm.shop.example")
        )

    assert [one.status_code for one in (here, also, there)] == [200, 200, 404]


async def test_limits_count_the_client_and_not_the_proxy(open_gateway: Opener) -> None:
    async with open_gateway(**OURS, rate_limit_dashboard="1/hour") as gateway:
        statuses = [
            (
                await gateway.get(
                    "/auth/verify", headers=asked("GET", STATE, X_Forwarded_For=client)
                )
            ).status_code
            for client in ("10.0.0.1", "10.0.0.2", "10.0.0.1")
        ]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    ("networks", "client"), [((), "127.0.0.1"), (("127.0.0.1/32",), "10.0.0.9")]
)
async def test_for_everybody_else_nothing_is_there(
    service: Service, keys: Keys, networks: tuple[str, ...], client: str
) -> None:
    async with open_app(service, keys, verify_networks=networks) as app:
        transport = ASGITransport(app, client=(client, 5555))
        async with AsyncClient(transport=transport, base_url="http://gateway") as c:
            answer = await c.get("/auth/verify", headers=asked("GET", STATE))

    assert answer.status_code == 404
    assert "authorization" not in answer.headers
