"""Devices that are let in (RFC 8628), and stay in by their refresh tokens (RFC 6749 §6)."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from httpx import AsyncClient

from contracts.gateway import AccountOpened, DeviceEnrolled
from libs.security import tokens
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.deps import Deps
from services.gateway.handlers.administration import deactivate
from tests.services.gateway.api.device import (
    BRIDGE,
    KIOSK,
    answered,
    asking,
    error_of,
    later,
)
from tests.services.gateway.api.inside import (
    catch_up,
    client_of,
    events,
)


def _between(late: str, early: str) -> timedelta:
    return datetime.fromisoformat(late) - datetime.fromisoformat(early)


@pytest.mark.parametrize(
    ("client_id", "scope", "realm"),
    [(KIOSK, "kiosk:device", "kiosk"), (BRIDGE, "scales:bridge", "scales")],
)
async def test_a_device_somebody_let_in_has_an_account_and_a_session_of_its_own(
    deps: Deps,
    client: AsyncClient,
    browser: AsyncClient,
    manager: str,
    client_id: str,
    scope: str,
    realm: str,
) -> None:
    device = await asking(client, client_id, device_name="Hall")
    before = await device.poll()
    await answered(browser, device.user_code, manager)
    got = await device.poll()
    await catch_up(deps)
    headers = {"Authorization": f"Bearer {got.json()['access_token']}"}
    listed = (await client.get("/api/v1/sessions", headers=headers)).json()["sessions"]

    assert error_of(before) == (400, "authorization_pending")
    assert got.status_code == 200
    assert got.headers["Cache-Control"] == "no-store"
    assert got.json().keys() == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "scope",
    }
    assert (got.json()["token_type"], got.json()["scope"]) == ("Bearer", scope)
    assert got.json()["expires_in"] <= 3600
    claims = tokens.verify(
        got.json()["access_token"],
        deps.signing_keys.public,
        audience=AUDIENCE,
        issuer=deps.settings.issuer,
        now=deps.identity.clock(),
        typ=tokens.ACCESS,
    )
    assert (claims.tenant, claims.kind) == ("demo", realm)
    assert claims.scopes == {scope}
    assert [one["account_id"] for one in listed] == [claims.subject]
    assert listed[0]["device"].endswith(": Hall")
    lasts = listed[0]["expires_at"], listed[0]["opened_at"]
    assert timedelta(days=90) == _between(*lasts)
    enrolled = [e for e in await events(deps, DeviceEnrolled) if str(e.account_id) in str(claims)]
    assert [(e.realm, e.tenant, e.client) for e in enrolled] == [(realm, "demo", client_id)]
    opened = [e.account_id for e in await events(deps, AccountOpened)]
    assert opened.count(enrolled[0].account_id) == 1


async def test_who_asks_too_often_is_slowed_down_more_and_more(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)

    first, soon = await device.poll(), await device.poll()
    await later(deps, device.device_code, timedelta(seconds=6))
    still = await device.poll()
    await later(deps, device.device_code, timedelta(seconds=16))
    patient = await device.poll()
    await answered(browser, device.user_code, manager)

    assert error_of(first) == (400, "authorization_pending")
    assert error_of(soon) == error_of(still) == (400, "slow_down")
    assert error_of(patient) == (400, "authorization_pending")
    # Somebody said yes: it need not wait any longer.
    assert (await device.poll()).status_code == 200


async def test_a_device_that_was_refused_is_told(
    client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager, "refuse")

    assert [error_of(await device.poll()) for _ in range(2)] == [(400, "access_denied")] * 2


async def test_a_device_refreshes_and_an_old_token_ends_it(
    client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device = await asking(client)
    await answered(browser, device.user_code, manager)
    first = (await device.poll()).json()["refresh_token"]

    second = await device.refresh(first)
    again = await device.refresh(first)
    third = await device.refresh(second.json()["refresh_token"])
    stolen = await device.refresh(first)
    after = await device.refresh(third.json()["refresh_token"])

    assert second.status_code == 200
    assert second.json()["refresh_token"] != first
    assert again.json()["refresh_token"] == second.json()["refresh_token"]
    assert error_of(stolen) == error_of(after) == (400, "invalid_grant")


async def test_a_device_that_is_taken_out_is_out(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str
) -> None:
    device, late = await asking(client), await asking(client)
    for one in (device, late):
        await answered(browser, one.user_code, manager)
    pair = (await device.poll()).json()
    made = [one.account_id for one in (await events(deps, DeviceEnrolled))[-2:]]
    for account_id in made:
        await deactivate(deps.identity, account_id, reason="stolen", actor="test")

    assert error_of(await device.refresh(pair["refresh_token"])) == (400, "invalid_grant")
    assert error_of(await late.poll()) == (400, "access_denied")


@pytest.mark.parametrize("client_id", [KIOSK, BRIDGE])
async def test_a_device_that_never_got_its_answer_asks_again_within_half_a_minute(
    deps: Deps, client: AsyncClient, browser: AsyncClient, manager: str, client_id: str
) -> None:
    device = await asking(client, client_id)
    await answered(browser, device.user_code, manager)
    first = (await device.poll()).json()["refresh_token"]
    lost = await device.refresh(first)
    half_a_minute = timedelta(seconds=29)
    identity = replace(deps.identity, clock=lambda: deps.identity.clock() + half_a_minute)
    async with client_of(replace(deps, identity=identity)) as then:
        later_on = replace(device, client=then)
        again = await later_on.refresh(first)
        after = await later_on.refresh(again.json()["refresh_token"])

    assert again.status_code == 200
    assert again.json()["refresh_token"] == lost.json()["refresh_token"]
    assert after.status_code == 200
