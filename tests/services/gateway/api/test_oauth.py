"""Tokens for the programs on devices, and the forms of RFC 6749, RFC 8628 and RFC 8414."""

from typing import Any

import pytest

from tests.services.gateway.api.device import ASK, DEVICE_GRANT, KIOSK, TOKEN, error_of
from tests.services.gateway.api.inside import House, client_of, gateway_on

DISCOVERY = "/.well-known/oauth-authorization-server"


async def test_discovery_says_where_everything_is(demo: House) -> None:
    answer = await demo.client.get(DISCOVERY)

    document = answer.json()
    assert answer.status_code == 200
    assert document["issuer"] == "http://gateway"
    assert document["token_endpoint"] == f"http://gateway{TOKEN}"
    assert document["device_authorization_endpoint"] == f"http://gateway{ASK}"
    assert document["grant_types_supported"] == ["refresh_token", DEVICE_GRANT]
    assert document["token_endpoint_auth_methods_supported"] == ["none"]
    assert (await demo.client.get(document["jwks_uri"])).json()["keys"]
    assert (await demo.client.post(document["token_endpoint"])).status_code == 400


async def test_discovery_names_the_public_address_only(url: str, demo: House) -> None:
    async with (
        gateway_on(url, public_url="https://till.example/") as known,
        client_of(known) as other,
    ):
        named = await other.get(DISCOVERY, headers={"Host": "evil.example"})
        device = (await other.post(ASK, data={"client_id": KIOSK})).json()
    strange = await demo.client.get(DISCOVERY, headers={"Host": 'evil"><script>'})

    assert named.json()["issuer"] == "https://till.example"
    assert "max-age" in named.headers["Cache-Control"]
    assert device["verification_uri"] == "https://till.example/oauth/device"
    assert strange.status_code == 400
    assert "script" not in strange.text


async def test_a_device_is_told_what_to_show_and_how_often_to_ask(demo: House) -> None:
    answer = await demo.client.post(ASK, data={"client_id": KIOSK, "scope": "kiosk:device"})

    given = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert given.keys() == {
        *("device_code", "user_code", "verification_uri", "verification_uri_complete"),
        *("expires_in", "interval"),
    }
    assert (given["expires_in"], given["interval"]) == (600, 5)
    assert given["verification_uri"] == "http://gateway/oauth/device"
    assert given["verification_uri_complete"].endswith(f"?user_code={given['user_code']}")
    assert len(given["device_code"]) >= 43
    # More than a device may is not given.
    more = await demo.client.post(ASK, data={"client_id": KIOSK, "scope": "kiosk:staff"})
    assert error_of(more) == (400, "invalid_scope")


def form(grant_type: str, **more: str) -> dict[str, str]:
    return {"client_id": KIOSK, "grant_type": grant_type, **more}


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"client_id": KIOSK}, "invalid_request"),
        ({"client_id": ""}, "invalid_request"),
        (form("refresh_token", client_id="somebody"), "invalid_client"),
        (form("refresh_token"), "invalid_request"),
        (form(DEVICE_GRANT), "invalid_request"),
        (form("password", username="a", password="b"), "unsupported_grant_type"),
        (form("client_credentials"), "unsupported_grant_type"),
        (form("authorization_code"), "unsupported_grant_type"),
        (form("refresh_token", refresh_token="<script>"), "invalid_grant"),
        (
            form("refresh_token", refresh_token="x", scope="kiosk:device accounts:*"),
            "invalid_scope",
        ),
    ],
)
async def test_what_is_not_asked_rightly_is_refused_by_its_code(
    demo: House, sent: dict[str, str], error: str
) -> None:
    assert error_of(await demo.client.post(TOKEN, data=sent)) == (400, error)


@pytest.mark.parametrize(
    "sent",
    [
        {"json": form("refresh_token")},
        {"content": b"client_id=a&client_id=b"},
        {"content": b"client_id=%ff"},
        {"content": b"\xff\xfe"},
        {"content": b"&".join(b"f%d=1" % n for n in range(60))},
    ],
)
async def test_what_is_no_form_is_refused(demo: House, sent: dict[str, Any]) -> None:
    headers = {} if "json" in sent else {"Content-Type": "application/x-www-form-urlencoded"}

    for path in (TOKEN, ASK):
        answer = await demo.client.post(path, headers=headers, **sent)
        assert error_of(answer) == (400, "invalid_request")


async def test_our_clients_have_no_secret(demo: House) -> None:
    sent = form("refresh_token", refresh_token="x")

    answer = await demo.client.post(TOKEN, data=sent, auth=(KIOSK, "secret"))

    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_one_address_does_not_fill_the_house_with_grants(demo: House) -> None:
    answers = [await demo.client.post(ASK, data={"client_id": KIOSK}) for _ in range(11)]

    assert answers[9].status_code == 200
    assert error_of(answers[10]) == (429, "temporarily_unavailable")
