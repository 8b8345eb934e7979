"""Sessions from login to their end, on a real database."""

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from contracts.gateway import SessionRevoked
from libs.security import refresh as refresh_tokens
from services.gateway.domain.realm import Role
from services.gateway.domain.session import SessionOver, SessionUnknown
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.session import refresh
from tests.services.gateway.told import (
    CRM,
    ENGINEER,
    GRACE,
    KIOSK,
    LIFETIME,
    Clock,
    catch_up,
    enter,
    open_account,
    told,
)


async def reasons(identity: Identity) -> list[str]:
    return [e.event.reason for e in await told(identity) if isinstance(e.event, SessionRevoked)]


async def test_a_refresh_gives_another_token_of_the_same_session(
    identity: Identity, clock: Clock
) -> None:
    await open_account(identity)
    into = await enter(identity)
    clock.pass_by(hours=1)

    again = await refresh(identity, into.refresh_token)

    assert again.session_id == into.session_id
    assert again.refresh_token != into.refresh_token
    assert again.expires_at == clock() + LIFETIME
    assert again.scopes == into.scopes


async def test_a_repeat_within_the_grace_gets_the_same_successor(
    identity: Identity, clock: Clock
) -> None:
    await open_account(identity)
    into = await enter(identity)
    first = await refresh(identity, into.refresh_token)
    clock.now += GRACE

    repeated = await refresh(identity, into.refresh_token)

    assert repeated.refresh_token == first.refresh_token
    assert (await refresh(identity, repeated.refresh_token)).session_id == into.session_id


async def test_ten_refreshes_at_once_get_one_successor(identity: Identity) -> None:
    await open_account(identity)
    into = await enter(identity)

    answers = await asyncio.gather(*(refresh(identity, into.refresh_token) for _ in range(10)))

    assert len({one.refresh_token for one in answers}) == 1
    assert await reasons(identity) == []


async def test_a_token_that_was_used_before_ends_the_session_for_everybody(
    identity: Identity, clock: Clock
) -> None:
    await open_account(identity)
    into = await enter(identity)
    after = await refresh(identity, into.refresh_token)
    clock.now += GRACE * 2

    for token in (into.refresh_token, after.refresh_token, into.refresh_token):
        with pytest.raises(SessionOver):
            await refresh(identity, token)

    assert await reasons(identity) == ["reuse"]


async def test_a_session_ends_when_nobody_refreshes_it(identity: Identity, clock: Clock) -> None:
    await open_account(identity)
    into = await enter(identity)
    clock.now += LIFETIME

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token)


async def test_a_token_is_good_in_its_own_realm_only(identity: Identity) -> None:
    await open_account(identity)
    into = await enter(identity)

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token, realm="kiosk")

    assert (await refresh(identity, into.refresh_token, realm="crm")).place == CRM


async def test_what_is_no_token_of_ours_is_refused(identity: Identity) -> None:
    forged = refresh_tokens.issue(b"x" * 32, uuid4(), 1)
    unknown = refresh_tokens.issue(identity.refresh_key, uuid4(), 1)

    for token in ("", "x" * 70, forged, unknown):
        with pytest.raises(SessionOver):
            await refresh(identity, token)


async def test_whoever_logs_out_is_out(identity: Identity) -> None:
    await open_account(identity)
    into = await enter(identity)

    await sessions.log_out(identity, into.refresh_token)
    await sessions.log_out(identity, into.refresh_token)

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token)
    assert await reasons(identity) == ["logout"]
    with pytest.raises(SessionOver):
        await sessions.log_out(identity, "garbage")


async def test_a_session_of_somebody_else_cannot_be_ended(identity: Identity) -> None:
    await open_account(identity)
    eve = await open_account(identity, "eve@example.com")
    into = await enter(identity)

    with pytest.raises(SessionUnknown):
        await sessions.revoke(
            identity,
            into.session_id,
            reason="revoked",
            actor="eve",
            account_id=eve.account_id,
        )

    assert (await refresh(identity, into.refresh_token)).session_id == into.session_id


async def test_sessions_can_be_ended_by_place_by_device_and_all_but_one(
    identity: Identity,
) -> None:
    anna = await open_account(identity, "anna@example.com", ENGINEER, Role(KIOSK, "staff"))
    phone, laptop, tablet = [
        await enter(identity, device=device) for device in ("phone", "laptop", "tablet")
    ]
    kiosk = await enter(identity, place=KIOSK, device="phone")
    await catch_up(identity)

    async def ended(**which: object) -> int:
        count = await sessions.revoke_all(
            identity,
            anna.account_id,
            reason="revoked",
            actor="anna",
            **which,  # type: ignore[arg-type]
        )
        await catch_up(identity)
        return count

    assert await ended(place=KIOSK) == 1
    with pytest.raises(SessionOver):
        await refresh(identity, kiosk.refresh_token)
    assert await ended(device="laptop") == 1
    with pytest.raises(SessionOver):
        await refresh(identity, laptop.refresh_token)
    assert await ended(keep=phone.session_id) == 1
    with pytest.raises(SessionOver):
        await refresh(identity, tablet.refresh_token)
    assert (await refresh(identity, phone.refresh_token)).session_id == phone.session_id
    assert await ended() == 1
    assert await ended() == 0


async def test_whoever_must_know_hears_at_once_that_a_session_is_over(
    identity: Identity, clock: Clock
) -> None:
    heard: list[tuple[str, datetime]] = []
    identity = replace(identity, revoked=lambda session, at: heard.append((session, at)))
    await open_account(identity)
    revoked, reused, going_on = [await enter(identity) for _ in range(3)]
    for _ in range(2):
        going_on = await refresh(identity, going_on.refresh_token)
    await refresh(identity, reused.refresh_token)
    assert heard == []

    await sessions.revoke(identity, revoked.session_id, reason="revoked", actor="test")
    clock.pass_by(seconds=2 * GRACE.total_seconds())
    with pytest.raises(SessionOver):
        await refresh(identity, reused.refresh_token)

    assert [session for session, _ in heard] == [str(revoked.session_id), str(reused.session_id)]
    assert heard[1][1] == clock()
