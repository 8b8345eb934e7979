"""Where is somebody logged in? Asked of a real Postgres."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.gateway.domain.realm import Role
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.read_models.session import last_logins, live_sessions
from tests.services.gateway.told import (
    CRM,
    ENGINEER,
    KIOSK,
    LIFETIME,
    NOW,
    Clock,
    an_identity,
    catch_up,
    enter,
    open_account,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    async with an_identity(database, clock) as made:
        yield made


async def test_sessions_are_listed_newest_first_until_they_end(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity, "anna@example.com", ENGINEER, Role(KIOSK, "staff"))
    await open_account(identity, "eve@example.com")
    await enter(identity, "eve@example.com")
    phone = await enter(identity, device="phone")
    clock.pass_by(hours=1)
    kiosk = await enter(identity, place=KIOSK, device="kiosk")
    await catch_up(identity)

    listed = await live_sessions(identity.pool, anna.account_id, clock())
    assert [one.device for one in listed] == ["kiosk", "phone"]
    assert (listed[1].place, listed[1].opened_at) == (CRM, NOW)
    assert listed[1].expires_at == NOW + LIFETIME
    in_crm = await live_sessions(identity.pool, anna.account_id, clock(), place=CRM)
    assert [one.session_id for one in in_crm] == [phone.session_id]

    await sessions.log_out(identity, kiosk.refresh_token)
    await catch_up(identity)
    listed = await live_sessions(identity.pool, anna.account_id, clock())
    assert [one.session_id for one in listed] == [phone.session_id]
    assert await live_sessions(identity.pool, anna.account_id, NOW + LIFETIME) == []


async def test_a_refresh_is_seen_and_keeps_the_session_alive(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    into = await enter(identity)
    clock.now += LIFETIME - timedelta(seconds=1)
    await sessions.refresh(identity, into.refresh_token)
    await catch_up(identity)

    (one,) = await live_sessions(identity.pool, anna.account_id, NOW + LIFETIME)

    assert (one.opened_at, one.refreshed_at) == (NOW, clock())


async def test_the_last_login_is_known_of_those_who_ever_did(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    never = await open_account(identity, "never@example.com")
    await enter(identity)
    clock.pass_by(days=1)
    into = await enter(identity)
    await sessions.log_out(identity, into.refresh_token)
    await catch_up(identity)

    asked = [anna.account_id, never.account_id]

    assert await last_logins(identity.pool, asked) == {anna.account_id: clock()}
    assert await last_logins(identity.pool, asked, place=CRM) == {anna.account_id: clock()}
    # What one place knows, another need not.
    assert await last_logins(identity.pool, asked, place=KIOSK) == {}
    assert await last_logins(identity.pool, []) == {}
