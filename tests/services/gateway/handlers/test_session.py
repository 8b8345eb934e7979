"""Sessions from login to their end, on a real database; nothing waits for a read model."""

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from contracts.gateway import SessionRevoked
from libs.security import refresh as refresh_tokens
from libs.testing.clock import Clock
from services.gateway.domain.realm import Place, Role
from services.gateway.domain.session import SessionOver, SessionUnknown
from services.gateway.handlers import administration
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.session import LoggedIn, refresh
from services.gateway.handlers.standing import device_of, role_now
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    GRACE,
    KIOSK,
    LIFETIME,
    OTHER_CRM,
    STAFF,
    catch_up,
    enter,
    enter_new,
    history_of,
    open_account,
    reset_password,
)


async def reasons(identity: Identity) -> list[str]:
    history = await history_of(identity)
    return [e.event.reason for e in history if isinstance(e.event, SessionRevoked)]


async def assert_over(identity: Identity, *tokens: str) -> None:
    for token in tokens:
        with pytest.raises(SessionOver):
            await refresh(identity, token)


async def test_a_refresh_gives_another_token_of_the_same_session(
    identity: Identity, clock: Clock
) -> None:
    into = await enter_new(identity)
    clock.advance(hours=1)

    again = await refresh(identity, into.refresh_token)

    assert again.session_id == into.session_id
    assert again.refresh_token != into.refresh_token
    assert again.expires_at == clock() + LIFETIME
    assert again.scopes == into.scopes


async def test_a_repeat_within_the_grace_gets_the_same_successor(
    identity: Identity, clock: Clock
) -> None:
    into = await enter_new(identity)
    first = await refresh(identity, into.refresh_token)
    clock.now += GRACE

    repeated = await refresh(identity, into.refresh_token)

    assert repeated.refresh_token == first.refresh_token
    assert (await refresh(identity, repeated.refresh_token)).session_id == into.session_id


async def test_ten_refreshes_at_once_get_one_successor(identity: Identity) -> None:
    into = await enter_new(identity)

    answers = await asyncio.gather(*(refresh(identity, into.refresh_token) for _ in range(10)))

    assert len({one.refresh_token for one in answers}) == 1
    assert await reasons(identity) == []


async def test_a_token_that_was_used_before_ends_the_session_for_everybody(
    identity: Identity, clock: Clock
) -> None:
    into = await enter_new(identity)
    after = await refresh(identity, into.refresh_token)
    clock.now += GRACE * 2

    await assert_over(identity, into.refresh_token, after.refresh_token, into.refresh_token)
    assert await reasons(identity) == ["reuse"]


async def test_a_session_ends_when_it_is_not_refreshed(identity: Identity, clock: Clock) -> None:
    into = await enter_new(identity)
    clock.now += LIFETIME

    await assert_over(identity, into.refresh_token)


async def test_a_token_is_good_in_its_own_realm_only(identity: Identity) -> None:
    into = await enter_new(identity)

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token, realm="kiosk")

    assert (await refresh(identity, into.refresh_token, realm="crm")).place == CRM


async def test_a_token_that_is_not_ours_is_refused(identity: Identity) -> None:
    forged = refresh_tokens.issue(b"x" * 32, uuid4(), 1)
    unknown = refresh_tokens.issue(identity.refresh_key, uuid4(), 1)

    await assert_over(identity, "", "x" * 70, forged, unknown)


async def test_a_logout_ends_the_session_once(identity: Identity) -> None:
    into = await enter_new(identity)

    for _ in range(2):
        await sessions.log_out(identity, into.refresh_token)

    await assert_over(identity, into.refresh_token)
    assert await reasons(identity) == ["logout"]
    with pytest.raises(SessionOver):
        await sessions.log_out(identity, "garbage")


async def test_a_session_of_another_account_cannot_be_ended(identity: Identity) -> None:
    into = await enter_new(identity)
    eve = await open_account(identity, "eve@example.com")

    with pytest.raises(SessionUnknown):
        await sessions.revoke(
            identity, into.session_id, reason="revoked", actor="eve", account_id=eve.account_id
        )

    assert (await refresh(identity, into.refresh_token)).session_id == into.session_id


async def test_sessions_can_be_ended_by_place_by_device_and_all_but_one(
    identity: Identity,
) -> None:
    anna = await open_account(identity, ANNA, ENGINEER, STAFF)
    phone, laptop, tablet = [
        await enter(identity, device=device) for device in ("phone", "laptop", "tablet")
    ]
    kiosk = await enter(identity, place=KIOSK, device="phone")
    await catch_up(identity)

    async def ended(**options: object) -> int:
        count = await sessions.revoke_all(
            identity,
            anna.account_id,
            reason="revoked",
            actor="anna",
            **options,  # type: ignore[arg-type]
        )
        await catch_up(identity)
        return count

    assert await ended(place=KIOSK) == 1
    await assert_over(identity, kiosk.refresh_token)
    assert await ended(device="laptop") == 1
    await assert_over(identity, laptop.refresh_token)
    assert await ended(keep=phone.session_id) == 1
    await assert_over(identity, tablet.refresh_token)
    assert (await refresh(identity, phone.refresh_token)).session_id == phone.session_id
    assert await ended() == 1
    assert await ended() == 0


async def test_the_end_of_a_session_is_reported_at_once(identity: Identity, clock: Clock) -> None:
    reported: list[tuple[str, datetime]] = []
    identity = replace(identity, revoked=lambda session, at: reported.append((session, at)))
    await open_account(identity)
    revoked, reused, going_on = [await enter(identity) for _ in range(3)]
    for _ in range(2):
        going_on = await refresh(identity, going_on.refresh_token)
    await refresh(identity, reused.refresh_token)
    assert reported == []

    await sessions.revoke(identity, revoked.session_id, reason="revoked", actor="test")
    clock.now += 2 * GRACE
    await assert_over(identity, reused.refresh_token)

    ids = [session for session, _ in reported]
    assert ids == [str(revoked.session_id), str(reused.session_id)]
    assert reported[1][1] == clock()


async def role_of(identity: Identity, into: LoggedIn, place: Place = CRM) -> str:
    return await role_now(identity, into.account.account_id, into.session_id, place)


async def test_a_session_acts_in_its_role_of_now_and_on_its_device(identity: Identity) -> None:
    anna = await enter_new(identity)
    assert await role_of(identity, anna) == "ENGINEER"
    assert await device_of(identity, anna.session_id) == "phone"

    supervisor = Role(CRM, "SUPERVISOR")
    await administration.grant_role(identity, anna.account.account_id, supervisor, actor="x")

    assert await role_of(identity, anna) == "SUPERVISOR"


@pytest.mark.parametrize("end", ["logout", "time", "password", "deactivated", "removed", "role"])
async def test_a_session_is_over_before_any_read_model_knows(
    identity: Identity, clock: Clock, end: str
) -> None:
    anna = await enter_new(identity)
    account_id = anna.account.account_id
    clock.advance(seconds=1)

    # No projector runs here: nothing revokes the session but its own end.
    match end:
        case "logout":
            await sessions.log_out(identity, anna.refresh_token)
        case "time":
            clock.now += LIFETIME
        case "password":
            await reset_password(identity, account_id)
        case "deactivated":
            await administration.deactivate(identity, account_id, reason="", actor="x")
            await administration.activate(identity, account_id, actor="x")
        case "removed":
            await administration.remove(identity, account_id, actor="x")
        case "role":
            await administration.withdraw_role(identity, account_id, CRM, actor="x")
        case _:
            raise AssertionError(end)

    with pytest.raises(SessionOver):
        await role_of(identity, anna)


async def test_a_session_is_good_for_its_own_account_in_its_own_place(identity: Identity) -> None:
    anna = await enter_new(identity)
    boris = await open_account(identity, BORIS)

    for place in (KIOSK, OTHER_CRM):
        with pytest.raises(SessionOver):
            await role_of(identity, anna, place)
    with pytest.raises(SessionOver):
        await role_now(identity, boris.account_id, anna.session_id, CRM)
