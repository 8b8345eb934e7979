"""Tokens for the programs on devices, and the forms of RFC 6749, RFC 8628 and RFC 8414."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from tests.services.gateway.api.device import (
    ASK,
    DEVICE_GRANT,
    KIOSK,
    TOKEN,
    error_of,
)
from tests.services.gateway.api.inside import (
    client_of,
    gateway_on,
)


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with gateway_on(url) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with client_of(deps) as opened:
        yield opened


async def test_discovery_says_where_everything_is(client: AsyncClient) -> None:
    answer = await client.get("/.well-known/oauth-authorization-server")

    said = answer.json()
    assert answer.status_code == 200
    assert said["issuer"] == "http://gateway"
    assert said["token_endpoint"] == f"http://gateway{TOKEN}"
    assert said["device_authorization_endpoint"] == f"http://gateway{ASK}"
    assert said["grant_types_supported"] == ["refresh_token", DEVICE_GRANT]
    assert said["token_endpoint_auth_methods_supported"] == ["none"]
    assert (await client.get(said["jwks_uri"])).json()["keys"]
    assert (await client.post(said["token_endpoint"])).status_code == 400


async def test_discovery_names_the_public_address_and_no_strange_host(url: str) -> None:
    path = "/.well-known/oauth-authorization-server"
    async with (
        gateway_on(url, public_url="https://till.example/") as told,
        client_of(told) as client,
    ):
        named = await client.get(path, headers={"Host": "evil.example"})
        device = (await client.post(ASK, data={"client_id": KIOSK})).json()
    async with gateway_on(url) as untold, client_of(untold) as client:
        strange = await client.get(path, headers={"Host": 'evil"><script>'})

    assert named.json()["issuer"] == "https://till.example"
    assert "max-age" in named.headers["Cache-Control"]
    assert device["verification_uri"] == "https://till.example/oauth/device"
    assert strange.status_code == 400
    assert "script" not in strange.text


async def test_a_device_is_told_what_to_show_and_how_often_to_ask(client: AsyncClient) -> None:
    answer = await client.post(ASK, data={"client_id": KIOSK, "scope": "kiosk:device"})

    said = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert said.keys() == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert (said["expires_in"], said["interval"]) == (600, 5)
    assert said["verification_uri"] == "http://gateway/oauth/device"
    assert said["verification_uri_complete"].endswith(f"?user_code={said['user_code']}")
    assert len(said["device_code"]) >= 43


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"client_id": KIOSK}, "invalid_request"),
        ({"client_id": ""}, "invalid_request"),
        ({"client_id": "somebody", "grant_type": "refresh_token"}, "invalid_client"),
        ({"client_id": KIOSK, "grant_type": "refresh_token"}, "invalid_request"),
        ({"client_id": KIOSK, "grant_type": DEVICE_GRANT}, "invalid_request"),
        (
            {"client_id": KIOSK, "grant_type": "password", "username": "a", "password": "b"},
            "unsupported_grant_type",
        ),
        ({"client_id": KIOSK, "grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"client_id": KIOSK, "grant_type": "authorization_code"}, "unsupported_grant_type"),
        (
            {"client_id": KIOSK, "grant_type": "refresh_token", "refresh_token": "<script>"},
            "invalid_grant",
        ),
        (
            {
                "client_id": KIOSK,
                "grant_type": "refresh_token",
                "refresh_token": "x",
                "scope": "kiosk:device accounts:*",
            },
            "invalid_scope",
        ),
    ],
)
async def test_what_is_not_asked_rightly_is_refused_by_its_code(
    client: AsyncClient, form: dict[str, str], error: str
) -> None:
    assert error_of(await client.post(TOKEN, data=form)) == (400, error)


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"client_id": KIOSK, "grant_type": "refresh_token"}},
        {"content": b"client_id=a&client_id=b"},
        {"content": b"client_id=%ff"},
        {"content": b"\xff\xfe"},
        {"content": b"&".join(b"f%d=1" % n for n in range(60))},
    ],
)
async def test_what_is_no_form_is_refused(client: AsyncClient, sent: dict[str, Any]) -> None:
    headers = {} if "json" in sent else {"Content-Type": "application/x-www-form-urlencoded"}

    for path in (TOKEN, ASK):
        assert error_of(await client.post(path, headers=headers, **sent)) == (
            400,
            "invalid_request",
        )


async def test_a_form_without_end_is_cut_off(client: AsyncClient) -> None:
    assert (await client.post(TOKEN, data={"client_id": "x" * 20_000})).status_code == 413


async def test_our_clients_have_no_secret(client: AsyncClient) -> None:
    form = {"client_id": KIOSK, "grant_type": "refresh_token", "refresh_token": "x"}

    answer = await client.post(TOKEN, data=form, auth=(KIOSK, "secret"))

    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_more_than_a_device_may_is_not_given(client: AsyncClient) -> None:
    answer = await client.post(ASK, data={"client_id": KIOSK, "scope": "kiosk:staff"})

    assert error_of(answer) == (400, "invalid_scope")
