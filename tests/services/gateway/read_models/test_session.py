"""Where is somebody logged in? Asked of a real Postgres."""

from datetime import timedelta
from functools import partial

from libs.testing.clock import Clock
from services.gateway.handlers import session as sessions
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
    People,
)


async def test_sessions_are_listed_newest_first_until_they_end(
    people: People, clock: Clock
) -> None:
    anna = await people.open(ANNA, ENGINEER, STAFF)
    await people.open(BORIS)
    await people.enter(BORIS)
    phone = await people.enter(device="phone")
    clock.advance(hours=1)
    kiosk = await people.enter(place=KIOSK, device="kiosk")
    await people.catch_up()
    listed = partial(live_sessions, people.identity.pool, anna.account_id)

    both = await listed(clock())
    assert [one.device for one in both] == ["kiosk", "phone"]
    assert (both[1].place, both[1].opened_at) == (CRM, NOW)
    assert both[1].expires_at == NOW + LIFETIME
    assert [one.session_id for one in await listed(clock(), place=CRM)] == [phone.session_id]

    await sessions.log_out(people.identity, kiosk.refresh_token)
    await people.catch_up()
    assert [one.session_id for one in await listed(clock())] == [phone.session_id]
    assert await listed(NOW + LIFETIME) == []


async def test_a_refresh_is_seen_and_prolongs_the_session(people: People, clock: Clock) -> None:
    into = await people.enter_new()
    clock.now += LIFETIME - timedelta(seconds=1)
    await people.refresh(into)
    await people.catch_up()

    (one,) = await live_sessions(people.identity.pool, into.account.account_id, NOW + LIFETIME)

    assert (one.opened_at, one.refreshed_at) == (NOW, clock())


async def test_the_last_login_is_known_of_those_who_ever_did(people: People, clock: Clock) -> None:
    anna = (await people.enter_new()).account
    never = await people.open("never@example.com")
    clock.advance(days=1)
    into = await people.enter()
    await sessions.log_out(people.identity, into.refresh_token)
    await people.catch_up()

    last = partial(last_logins, people.identity.pool, [anna.account_id, never.account_id])

    assert await last() == await last(place=CRM) == {anna.account_id: clock()}
    # What one place knows, another need not.
    assert await last(place=KIOSK) == {}
    assert await last_logins(people.identity.pool, []) == {}
