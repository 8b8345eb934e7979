"""Forward-auth, as Caddy, Traefik and Envoy ask for it."""

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from httpx import AsyncClient

from libs.security.tokens import SigningKey
from libs.testing.callers import client_of
from tests.services.gateway.app import KEY, READER, Keys, Opener, Service, open_app
from tests.services.gateway.doorstep import access_token
from tests.services.gateway.live import BALCONY, LIVE

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
VERIFY = "/auth/verify"
OURS = {"verify_networks": ("127.0.0.1/32",), "trusted_proxies": ("127.0.0.1/32",)}


@pytest.fixture
async def proxied(open_gateway: Opener) -> AsyncIterator[AsyncClient]:
    """A client of a gateway that a proxy may ask."""
    async with open_gateway(**OURS, hosts=("scan=scan.shop.example",)) as gateway:
        yield gateway


def verification(method: str, uri: str, key: str = KEY, **more: str) -> dict[str, str]:
    headers = {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, "X-API-Key": key}
    return headers | {name.replace("_", "-"): value for name, value in more.items()}


async def test_the_verdict_has_the_caller_for_the_service(
    proxied: AsyncClient, service: Service
) -> None:
    answer = await proxied.get(VERIFY, headers=verification("POST", f"/scan{BATCH}?x=1"))

    assert (answer.status_code, answer.content) == (200, b"")
    headers = answer.headers
    assert (headers["x-tenant"], headers["x-service"]) == ("demo", "ingest")
    assert headers["x-scopes"] == "scan:read scan:remove scan:write"
    token = headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == (headers["x-subject"], "ingest")
    assert headers["cache-control"] == "no-store"
    assert service.requests == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (verification("GET", STATE, key="wrong"), 401),
        (verification("POST", BATCH, key=READER), 403),
        (verification("GET", "/nowhere"), 404),
        (verification("GET", VERIFY), 404),
        (verification("GET", "/scan/nowhere"), 404),
        (verification("GET", "/scan/../metrics"), 400),
        (verification("PUT", STATE), 405),
        # The host that was asked decides the door.
        (verification("GET", "/ping", X_Forwarded_Host="crm.shop.example"), 404),
        (verification("GET", "/crm/api/v1/objects"), 503),
    ],
)
async def test_refusals_say_why(proxied: AsyncClient, headers: dict[str, str], status: int) -> None:
    answer = await proxied.get(VERIFY, headers=headers)

    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert "authorization" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        verification("GET", "/scan/ping", key=""),
        verification("GET", "/ping", key="", X_Forwarded_Host="scan.shop.example"),
        verification("GET", "/ping", key="", Host="scan.shop.example"),
    ],
    ids=("prefix", "forwarded host", "host"),
)
async def test_a_public_route_has_no_caller(proxied: AsyncClient, headers: dict[str, str]) -> None:
    answer = await proxied.get(VERIFY, headers=headers)

    assert answer.status_code == 200
    assert {"authorization", "x-tenant"}.isdisjoint(answer.headers)


async def test_envoy_sends_the_original_path_below_ours(proxied: AsyncClient) -> None:
    good = await proxied.post(f"{VERIFY}/scan{BATCH}?x=1", headers={"X-API-Key": KEY})
    bad = await proxied.get(f"{VERIFY}/scan{BATCH}", headers={"X-API-Key": KEY})

    assert (good.status_code, bad.status_code) == (200, 405)


async def test_limits_count_the_client_and_not_the_proxy(open_gateway: Opener) -> None:
    async with open_gateway(**OURS, rate_limit_dashboard="1/hour") as gateway:
        answers = [
            await gateway.get(VERIFY, headers=verification("GET", STATE, X_Forwarded_For=client))
            for client in ("10.0.0.1", "10.0.0.2", "10.0.0.1")
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(
    ("networks", "client"), [((), "127.0.0.1"), (("127.0.0.1/32",), "10.0.0.9")]
)
async def test_for_other_clients_the_path_does_not_exist(
    service: Service, keys: Keys, networks: tuple[str, ...], client: str
) -> None:
    async with (
        open_app(service, keys, verify_networks=networks) as app,
        client_of(app, address=client) as c,
    ):
        answer = await c.get(VERIFY, headers=verification("GET", STATE))

    assert answer.status_code == 404
    assert "authorization" not in answer.headers


async def test_a_websocket_may_have_its_token_in_the_query(service: Service, keys: Keys) -> None:
    key = SigningKey.generate()
    options: dict[str, Any] = {"doors": (BALCONY,), "signing_key": key.to_pem(), **OURS}
    token = access_token(key, ["scan:read"])
    async with open_app(service, keys, **options) as app, client_of(app) as client:
        for headers, path in (
            ({"X-Forwarded-Uri": f"{LIVE}?token={token}"}, VERIFY),
            ({}, f"{VERIFY}{LIVE}?token={token}"),
        ):
            assert (await client.get(path, headers=headers)).headers["x-tenant"] == "demo"
        assert (await client.get(f"{VERIFY}{LIVE}")).status_code == 401
