"""Devices that are let in, their tokens and the forms of RFC 6749, RFC 8628 and RFC 8414.

And their codes and tokens in the wrong hands: guessed, used twice, by another client.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from httpx import AsyncClient
from joserfc import jwt
from joserfc.jwk import KeySet

from contracts.gateway import AccountOpened, DeviceEnrolled
from libs.testing.clock import Clock
from services.gateway.accounts.domain.realm import Realm
from services.gateway.accounts.handlers.identity import profile
from services.gateway.administration.handlers.administration import deactivate
from services.gateway.device_grants.domain.grant import LIFETIME
from tests.services.gateway.device import (
    ASK,
    BRIDGE,
    DEVICE_GRANT,
    KIOSK,
    TOKEN,
    LetIn,
    answered,
    error_of,
    later,
    request_codes,
)
from tests.services.gateway.harness import (
    KIOSKS,
    STAFF,
    Harness,
    bearer,
    claims_of,
    client_of,
    demo_on,
    gateway_on,
    limit_of,
)

DISCOVERY = "/.well-known/oauth-authorization-server"


async def test_discovery_says_where_everything_is(demo: Harness) -> None:
    answer = await demo.client.get(DISCOVERY)

    document = answer.json()
    assert answer.status_code == 200
    assert document["issuer"] == demo.deps.settings.token_issuer
    assert document["token_endpoint"] == f"http://gateway{TOKEN}"
    assert document["device_authorization_endpoint"] == f"http://gateway{ASK}"
    assert document["grant_types_supported"] == ["refresh_token", DEVICE_GRANT]
    assert document["token_endpoint_auth_methods_supported"] == ["none"]
    assert (await demo.client.get(document["jwks_uri"])).json()["keys"]
    assert (await demo.client.post(document["token_endpoint"])).status_code == 400


async def test_discovery_names_the_public_address_only(url: str, demo: Harness) -> None:
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


ESSENTIAL = {"essential": True}
RFC_9068 = dict.fromkeys(("exp", "sub", "client_id", "iat", "jti"), ESSENTIAL)


# The name of the algorithm is to become that of the curve; the clients of today know the old one.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_strict_clients_take_the_metadata_the_keys_and_the_tokens(url: str) -> None:
    async with demo_on(url, public_url="https://till.example") as harness:
        document = (await harness.client.get(DISCOVERY)).json()
        keys = await harness.client.get("/.well-known/jwks.json")
        again = await harness.client.get(
            "/.well-known/jwks.json", headers={"If-None-Match": f'"x",W/{keys.headers["ETag"]}'}
        )
        ann = await harness.account(Realm.KIOSK, STAFF.name)
        token = (await harness.login(str(ann.person.username))).json()["access_token"]

    AuthorizationServerMetadata(document).validate()
    assert document["issuer"] == "https://till.example"
    read = jwt.decode(token, KeySet.import_key_set(keys.json()), algorithms=["EdDSA"])
    asked = {"iss": document["issuer"], "aud": "tillstream"}
    wanted = RFC_9068 | {name: ESSENTIAL | {"value": value} for name, value in asked.items()}
    JWTAccessTokenClaims(read.claims, read.header, wanted).validate()
    assert (again.status_code, again.content, again.headers["ETag"]) == (
        304,
        b"",
        keys.headers["ETag"],
    )


async def test_a_device_gets_its_codes_and_the_interval_of_polls(demo: Harness) -> None:
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
async def test_a_malformed_request_is_refused_by_its_code(
    demo: Harness, sent: dict[str, str], error: str
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
async def test_what_is_no_form_is_refused(demo: Harness, sent: dict[str, Any]) -> None:
    headers = {} if "json" in sent else {"Content-Type": "application/x-www-form-urlencoded"}

    for path in (TOKEN, ASK):
        answer = await demo.client.post(path, headers=headers, **sent)
        assert error_of(answer) == (400, "invalid_request")


async def test_our_clients_have_no_secret(demo: Harness) -> None:
    sent = form("refresh_token", refresh_token="x")

    answer = await demo.client.post(TOKEN, data=sent, auth=(KIOSK, "secret"))

    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_one_address_does_not_fill_the_house_with_grants(url: str) -> None:
    # The limit of a day: requests on a slow machine must not fall into two windows.
    async with demo_on(url, rate_limit_login="10/day") as demo:
        answers = [await demo.client.post(ASK, data={"client_id": KIOSK}) for _ in range(11)]

    assert answers[9].status_code == 200
    assert error_of(answers[10]) == (429, "temporarily_unavailable")
    assert limit_of(answers[10]) == "login"


PENDING = (400, "authorization_pending")
WORTHLESS = (400, "invalid_grant")


@pytest.mark.parametrize(
    ("client_id", "scope", "realm"),
    [(KIOSK, "kiosk:device", "kiosk"), (BRIDGE, "scales:bridge", "scales")],
)
async def test_an_approved_device_has_an_account_and_a_session_of_its_own(
    demo: Harness, let_in: LetIn, client_id: str, scope: str, realm: str
) -> None:
    device = await let_in(client_id, device_name="Hall")
    got = await device.poll()
    await demo.catch_up()
    headers = bearer(got.json()["access_token"])
    (listed,) = (await demo.client.get("/api/v1/sessions", headers=headers)).json()["sessions"]

    assert got.status_code == 200
    assert got.headers["Cache-Control"] == "no-store"
    assert got.json().keys() == {
        *("access_token", "token_type", "expires_in", "refresh_token", "scope"),
    }
    assert (got.json()["token_type"], got.json()["scope"]) == ("Bearer", scope)
    assert got.json()["expires_in"] == (30 * 24 * 3600 if client_id == KIOSK else 3600)
    claims = claims_of(demo.deps, got.json()["access_token"])
    assert (claims.tenant, claims.kind) == ("demo", realm)
    assert claims.scopes == {scope}
    assert listed["account_id"] == claims.subject
    assert listed["device"].endswith(": Hall")
    expires, opened = [
        datetime.fromisoformat(listed[f"{name}_at"]) for name in ("expires", "opened")
    ]
    assert expires - opened == timedelta(days=90)
    (enrolled,) = [e for e in await demo.events(DeviceEnrolled) if str(e.account_id) in str(claims)]
    assert (enrolled.realm, enrolled.tenant, enrolled.client) == (realm, "demo", client_id)
    accounts = [e.account_id for e in await demo.events(AccountOpened)]
    assert accounts.count(enrolled.account_id) == 1
    made = await profile(demo.deps.identity, enrolled.account_id)
    assert [(workspace.realm, workspace.tenant) for workspace in made.roles] == [(realm, "demo")]
    assert (made.person.name or "").endswith(": Hall")


async def test_polls_that_come_too_soon_increase_the_interval(
    demo: Harness, browser: AsyncClient, approver: str
) -> None:
    clock = Clock(demo.deps.identity.clock())
    async with client_of(demo.at(clock)) as client:
        device = await request_codes(client)
        first, soon = await device.poll(), await device.poll()
        clock.advance(seconds=6)
        still = await device.poll()
        clock.advance(seconds=16)
        patient = await device.poll()
        await answered(browser, device.user_code, approver)

        assert error_of(first) == error_of(patient) == PENDING
        assert error_of(soon) == error_of(still) == (400, "slow_down")
        # Somebody said yes: it need not wait any longer.
        assert (await device.poll()).status_code == 200


async def test_a_denied_device_gets_access_denied(
    demo: Harness, browser: AsyncClient, approver: str
) -> None:
    device = await request_codes(demo.client)
    await answered(browser, device.user_code, approver, "refuse")

    assert [error_of(await device.poll()) for _ in range(2)] == [(400, "access_denied")] * 2


async def test_a_device_that_is_taken_out_is_out(demo: Harness, let_in: LetIn) -> None:
    device, late = await let_in(), await let_in()
    pair = (await device.poll()).json()
    for made in (await demo.events(DeviceEnrolled))[-2:]:
        await deactivate(demo.deps.identity, made.account_id, reason="stolen", actor="test")

    assert error_of(await device.refresh(pair["refresh_token"])) == WORTHLESS
    assert error_of(await late.poll()) == (400, "access_denied")


@pytest.mark.parametrize("client_id", [KIOSK, BRIDGE])
async def test_a_device_that_never_got_its_answer_asks_again_within_half_a_minute(
    demo: Harness, let_in: LetIn, client_id: str
) -> None:
    device = await let_in(client_id)
    first = (await device.poll()).json()["refresh_token"]
    clock = Clock(demo.deps.identity.clock())
    async with client_of(demo.at(clock)) as client:
        device = replace(device, client=client)
        lost = await device.refresh(first)
        clock.advance(seconds=29)
        again = await device.refresh(first)
        after = await device.refresh(again.json()["refresh_token"])

    assert again.status_code == 200
    assert again.json()["refresh_token"] == lost.json()["refresh_token"]
    assert after.status_code == 200


async def test_codes_and_what_devices_say_are_kept_sealed(demo: Harness) -> None:
    device = await request_codes(demo.client, device_name="hall-of-fame")

    rows = str([dict(row) for row in await demo.deps.system.fetch("SELECT * FROM device_grant")])

    code = device.user_code
    for secret in (device.device_code, code, code.replace("-", ""), "hall-of-fame"):
        assert secret not in rows


async def test_a_code_that_ran_out_is_worth_nothing_even_with_a_late_yes(
    demo: Harness, browser: AsyncClient, approver: str, let_in: LetIn
) -> None:
    slow, forgotten = await let_in(), await request_codes(demo.client)
    for device in (slow, forgotten):
        await later(demo.deps, device.device_code, LIFETIME)
    late = await answered(browser, forgotten.user_code, approver)

    assert error_of(await slow.poll()) == error_of(await forgotten.poll()) == (400, "expired_token")
    assert late.status_code == 422


async def test_a_device_code_cannot_be_guessed_or_used_by_another_client(let_in: LetIn) -> None:
    device = await let_in()

    for guess in (
        {"device_code": "x" * 43},
        {"device_code": device.user_code},
        {"client_id": BRIDGE},
    ):
        assert error_of(await device.poll(**guess)) == WORTHLESS
    # And it was not used up by them. It works once, whoever shows it at the same moment.
    answers = await asyncio.gather(*(device.poll() for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert error_of(await device.poll()) == WORTHLESS


async def test_repeated_guesses_get_a_retry_after(demo: Harness) -> None:
    device = await request_codes(demo.client)

    guesses = [await device.poll(device_code=f"{n:043}") for n in range(11)]

    assert error_of(guesses[9]) == WORTHLESS
    assert error_of(guesses[10]) == (429, "temporarily_unavailable")
    assert limit_of(guesses[10]) == "login"
    assert error_of(await device.poll()) == PENDING


async def test_a_refresh_token_counts_for_its_client_only(demo: Harness, let_in: LetIn) -> None:
    device = await let_in()
    ours = (await device.poll()).json()["refresh_token"]
    anna = await demo.create_account(STAFF)
    annas, _ = await demo.log_in(anna, KIOSKS)

    assert error_of(await device.refresh(ours, client_id=BRIDGE)) == WORTHLESS
    assert error_of(await device.refresh(annas.refresh_token)) == WORTHLESS
    # It was neither used up nor ended by who had no right to it.
    assert (await device.refresh(ours)).status_code == 200
