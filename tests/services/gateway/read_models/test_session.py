"""Where is somebody logged in? Asked of a real Postgres."""

from datetime import timedelta
from functools import partial

from libs.testing.clock import Clock
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.read_models.session import last_logins, live_sessions
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    KIOSK,
    LIFETIME,
    NOW,
    STAFF,
    catch_up,
    enter,
    enter_new,
    open_account,
)


async def test_sessions_are_listed_newest_first_until_they_end(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity, ANNA, ENGINEER, STAFF)
    await open_account(identity, BORIS)
    await enter(identity, BORIS)
    phone = await enter(identity, device="phone")
    clock.advance(hours=1)
    kiosk = await enter(identity, place=KIOSK, device="kiosk")
    await catch_up(identity)
    listed = partial(live_sessions, identity.pool, anna.account_id)

    both = await listed(clock())
    assert [one.device for one in both] == ["kiosk", "phone"]
    assert (both[1].place, both[1].opened_at) == (CRM, NOW)
    assert both[1].expires_at == NOW + LIFETIME
    assert [one.session_id for one in await listed(clock(), place=CRM)] == [phone.session_id]

    await sessions.log_out(identity, kiosk.refresh_token)
    await catch_up(identity)
    assert [one.session_id for one in await listed(clock())] == [phone.session_id]
    assert await listed(NOW + LIFETIME) == []


async def test_a_refresh_is_seen_and_prolongs_the_session(identity: Identity, clock: Clock) -> None:
    into = await enter_new(identity)
    clock.now += LIFETIME - timedelta(seconds=1)
    await sessions.refresh(identity, into.refresh_token)
    await catch_up(identity)

    (one,) = await live_sessions(identity.pool, into.account.account_id, NOW + LIFETIME)

    assert (one.opened_at, one.refreshed_at) == (NOW, clock())


async def test_the_last_login_is_known_of_those_who_ever_did(
    identity: Identity, clock: Clock
) -> None:
    anna = (await enter_new(identity)).account
    never = await open_account(identity, "never@example.com")
    clock.advance(days=1)
    into = await enter(identity)
    await sessions.log_out(identity, into.refresh_token)
    await catch_up(identity)

    last = partial(last_logins, identity.pool, [anna.account_id, never.account_id])

    assert await last() == await last(place=CRM) == {anna.account_id: clock()}
    # What one place knows, another need not.
    assert await last(place=KIOSK) == {}
    assert await last_logins(identity.pool, []) == {}
