"""Devices that are let in (RFC 8628), and stay in by their refresh tokens (RFC 6749 §6).

And their codes and tokens in the wrong hands: guessed, used twice, by another client.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from httpx import AsyncClient

from contracts.gateway import AccountOpened, DeviceEnrolled
from libs.security import tokens
from libs.testing.clock import Clock
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.domain.device_grant import LIFETIME
from services.gateway.handlers.administration import deactivate
from services.gateway.handlers.identity import profile
from tests.services.gateway.api.device import (
    BRIDGE,
    KIOSK,
    LetIn,
    answered,
    asking,
    error_of,
    later,
)
from tests.services.gateway.api.inside import KIOSKS, STAFF, House, bearer, client_of

PENDING = (400, "authorization_pending")
WORTHLESS = (400, "invalid_grant")


@pytest.mark.parametrize(
    ("client_id", "scope", "realm"),
    [(KIOSK, "kiosk:device", "kiosk"), (BRIDGE, "scales:bridge", "scales")],
)
async def test_a_device_somebody_let_in_has_an_account_and_a_session_of_its_own(
    demo: House, let_in: LetIn, client_id: str, scope: str, realm: str
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
    assert got.json()["expires_in"] <= 3600
    claims = tokens.verify(
        got.json()["access_token"],
        demo.deps.signing_keys.public,
        audience=AUDIENCE,
        issuer=demo.deps.settings.issuer,
        now=demo.deps.identity.clock(),
        typ=tokens.ACCESS,
    )
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
    assert [(place.realm, place.tenant) for place in made.roles] == [(realm, "demo")]
    assert (made.person.name or "").endswith(": Hall")


async def test_who_asks_too_often_is_slowed_down_more_and_more(
    demo: House, browser: AsyncClient, manager: str
) -> None:
    clock = Clock(demo.deps.identity.clock())
    async with client_of(demo.at(clock)) as client:
        device = await asking(client)
        first, soon = await device.poll(), await device.poll()
        clock.advance(seconds=6)
        still = await device.poll()
        clock.advance(seconds=16)
        patient = await device.poll()
        await answered(browser, device.user_code, manager)

        assert error_of(first) == error_of(patient) == PENDING
        assert error_of(soon) == error_of(still) == (400, "slow_down")
        # Somebody said yes: it need not wait any longer.
        assert (await device.poll()).status_code == 200


async def test_a_refused_device_is_told(demo: House, browser: AsyncClient, manager: str) -> None:
    device = await asking(demo.client)
    await answered(browser, device.user_code, manager, "refuse")

    assert [error_of(await device.poll()) for _ in range(2)] == [(400, "access_denied")] * 2


async def test_a_device_refreshes_and_an_old_token_ends_it(let_in: LetIn) -> None:
    device = await let_in()
    first = (await device.poll()).json()["refresh_token"]

    second, again = [await device.refresh(first) for _ in range(2)]
    third = await device.refresh(second.json()["refresh_token"])
    stolen = await device.refresh(first)
    after = await device.refresh(third.json()["refresh_token"])

    assert second.status_code == 200
    assert second.json()["refresh_token"] == again.json()["refresh_token"] != first
    assert error_of(stolen) == error_of(after) == WORTHLESS


async def test_a_device_that_is_taken_out_is_out(demo: House, let_in: LetIn) -> None:
    device, late = await let_in(), await let_in()
    pair = (await device.poll()).json()
    for made in (await demo.events(DeviceEnrolled))[-2:]:
        await deactivate(demo.deps.identity, made.account_id, reason="stolen", actor="test")

    assert error_of(await device.refresh(pair["refresh_token"])) == WORTHLESS
    assert error_of(await late.poll()) == (400, "access_denied")


@pytest.mark.parametrize("client_id", [KIOSK, BRIDGE])
async def test_a_device_that_never_got_its_answer_asks_again_within_half_a_minute(
    demo: House, let_in: LetIn, client_id: str
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


async def test_codes_and_what_devices_say_are_kept_sealed(demo: House) -> None:
    device = await asking(demo.client, device_name="hall-of-fame")

    rows = str([dict(row) for row in await demo.deps.pool.fetch("SELECT * FROM device_grant")])

    code = device.user_code
    for secret in (device.device_code, code, code.replace("-", ""), "hall-of-fame"):
        assert secret not in rows


async def test_a_code_that_ran_out_is_worth_nothing_even_with_a_late_yes(
    demo: House, browser: AsyncClient, manager: str, let_in: LetIn
) -> None:
    slow, forgotten = await let_in(), await asking(demo.client)
    for device in (slow, forgotten):
        await later(demo.deps, device.device_code, LIFETIME)
    late = await answered(browser, forgotten.user_code, manager)

    assert error_of(await slow.poll()) == error_of(await forgotten.poll()) == (400, "expired_token")
    assert late.status_code == 422


async def test_nobody_guesses_a_device_code_or_uses_it_as_another_client(let_in: LetIn) -> None:
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


async def test_whoever_keeps_guessing_is_told_to_come_back_later(demo: House) -> None:
    device = await asking(demo.client)

    guesses = [await device.poll(device_code=f"{n:043}") for n in range(11)]

    assert error_of(guesses[9]) == WORTHLESS
    assert error_of(guesses[10]) == (429, "temporarily_unavailable")
    assert int(guesses[10].headers["Retry-After"]) >= 1
    assert error_of(await device.poll()) == PENDING


async def test_a_refresh_token_counts_for_its_client_only(demo: House, let_in: LetIn) -> None:
    device = await let_in()
    ours = (await device.poll()).json()["refresh_token"]
    anna = await demo.somebody(STAFF)
    annas, _ = await demo.inside(anna, KIOSKS)

    assert error_of(await device.refresh(ours, client_id=BRIDGE)) == WORTHLESS
    assert error_of(await device.refresh(annas.refresh_token)) == WORTHLESS
    # It was neither used up nor ended by who had no right to it.
    assert (await device.refresh(ours)).status_code == 200
