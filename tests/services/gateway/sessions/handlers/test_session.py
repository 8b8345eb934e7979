"""Logging in with a password, and sessions from there to their end, by the log alone."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from libs.security import refresh as refresh_tokens
from libs.security.passwords import Passwords
from libs.testing.clock import Clock
from services.gateway.accounts.domain.realm import Workspace
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.handlers.authorization import current_role, device_of
from services.gateway.sessions.handlers.login import LoginFailed
from services.gateway.sessions.handlers.session import LoggedIn, NotAdmitted, open_session
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CHEAP,
    CRM,
    DEARER,
    GRACE,
    KIOSK,
    LIFETIME,
    NEW_PASSWORD,
    OTHER_CRM,
    PASSWORD,
    STAFF,
    Counted,
    People,
)


@pytest.mark.parametrize(
    ("address", "password", "reason"),
    [
        ("nobody@example.com", PASSWORD, "unknown"),
        (None, PASSWORD, "unknown"),
        (ANNA, "a wrong one", "password"),
        ("out@example.com", PASSWORD, "deactivated"),
        ("out@example.com", "a wrong one", "password"),
        ("code@example.com", PASSWORD, "password"),
        ("kiosk@example.com", PASSWORD, "role"),
    ],
)
async def test_all_failures_are_alike_cost_one_check_and_are_recorded_with_their_reason(
    people: People, address: str | None, password: str, reason: str
) -> None:
    counted = Counted(cost=CHEAP)
    people = people.using(passwords=counted)
    await people.open()
    out = await people.open("out@example.com")
    await people.deactivate(out)
    await people.open("code@example.com", password=None)
    await people.open("kiosk@example.com", STAFF)

    with pytest.raises(LoginFailed) as refused:
        await people.enter(address, password)

    assert str(refused.value) == "The login or the password is wrong."
    assert counted.checks == 1
    (recorded,) = await people.refusals()
    assert (recorded.reason, recorded.account_id is None) == (reason, reason == "unknown")
    counted.close()


async def test_an_address_has_one_recorded_refusal_a_minute(people: People, clock: Clock) -> None:
    anna = await people.open()
    for _ in range(5):
        await people.assert_shut_out(password="a wrong one")
    assert [one.account_id for one in await people.refusals()] == [anna.account_id]

    clock.advance(minutes=1)
    await people.assert_shut_out(password="a wrong one")

    assert len(await people.refusals()) == 2


async def test_an_old_hash_is_renewed_and_sessions_live_on(people: People, clock: Clock) -> None:
    before = await people.enter_new()
    clock.advance(hours=1)
    dearer = Passwords(cost=DEARER)

    for _ in range(2):
        await people.using(passwords=dearer).enter()

    events = await people.events_of(before.account)
    assert events == ["AccountOpened", "PasswordSet", "RoleGranted", "PasswordSet"]
    assert (await people.refresh(before)).session_id == before.session_id
    dearer.close()


async def test_renewing_a_hash_never_brings_an_old_password_back(people: People) -> None:
    anna = await people.open()

    class Meanwhile(Passwords):
        async def hash(self, password: str, **options: Any) -> str:
            await people.reset_password(anna)
            return await super().hash(password, **options)

    slow = Meanwhile(cost=DEARER)
    await people.using(passwords=slow).enter()
    slow.close()

    await people.assert_shut_out()
    assert (await people.enter(password=NEW_PASSWORD)).role == "ENGINEER"


async def test_an_account_proved_otherwise_gets_in_without_a_password(people: People) -> None:
    anna = await people.open(password=None)
    admit = partial(open_session, people.identity, anna.account_id, device="telegram")

    assert (await admit(CRM)).account.account_id == anna.account_id
    with pytest.raises(NotAdmitted):
        await admit(KIOSK)
    await people.deactivate(anna)
    with pytest.raises(NotAdmitted):
        await admit(CRM)


async def test_ten_refreshes_at_once_get_one_successor(people: People) -> None:
    into = await people.enter_new()

    answers = await asyncio.gather(*(people.refresh(into) for _ in range(10)))

    assert len({one.refresh_token for one in answers}) == 1
    assert await people.revocations() == []


async def test_a_token_that_is_not_ours_is_refused(people: People) -> None:
    forged = refresh_tokens.issue(b"x" * 32, uuid4(), 1)
    unknown = refresh_tokens.issue(people.identity.refresh_key, uuid4(), 1)

    await people.assert_over("", "x" * 70, forged, unknown)


async def test_the_end_of_a_session_is_reported_at_once(people: People, clock: Clock) -> None:
    reported: list[tuple[str, datetime]] = []

    async def report(session: str, at: datetime) -> None:
        reported.append((session, at))

    people = people.using(on_revoked=report)
    await people.open()
    revoked, reused, going_on = [await people.enter() for _ in range(3)]
    for _ in range(2):
        going_on = await people.refresh(going_on)
    await people.refresh(reused)
    assert reported == []

    await sessions.revoke(people.identity, revoked.session_id, reason="revoked", actor="test")
    clock.now += 2 * GRACE
    await people.assert_over(reused)

    ids = [session for session, _ in reported]
    assert ids == [str(revoked.session_id), str(reused.session_id)]
    assert reported[1][1] == clock()


async def role_of(identity: Identity, into: LoggedIn, workspace: Workspace = CRM) -> str:
    return await current_role(identity, into.account.account_id, into.session_id, workspace)


async def test_a_session_acts_in_its_role_and_on_its_device(people: People) -> None:
    anna = await people.enter_new()

    assert await role_of(people.identity, anna) == "ENGINEER"
    assert await device_of(people.identity, anna.session_id) == "phone"


@pytest.mark.parametrize("end", ["logout", "time", "password", "deactivated", "removed", "role"])
async def test_sessions_end_before_read_models_know(people: People, clock: Clock, end: str) -> None:
    anna = await people.enter_new()
    clock.advance(seconds=1)

    # No projector runs here: nothing revokes the session but its own end.
    match end:
        case "logout":
            await sessions.log_out(people.identity, anna.refresh_token)
        case "time":
            clock.now += LIFETIME
        case "password":
            await people.reset_password(anna.account)
        case "deactivated":
            await people.deactivate(anna.account)
            await people.activate(anna.account)
        case "removed":
            await people.remove(anna.account)
        case "role":
            await people.withdraw(anna.account, CRM)
        case _:
            raise AssertionError(end)

    with pytest.raises(SessionOver):
        await role_of(people.identity, anna)
    await people.assert_over(anna)
    if end in ("removed", "role"):
        await people.assert_shut_out()


async def test_a_session_is_valid_for_its_account_in_its_workspace(people: People) -> None:
    anna = await people.enter_new()
    boris = await people.open(BORIS)

    for workspace in (KIOSK, OTHER_CRM):
        with pytest.raises(SessionOver):
            await role_of(people.identity, anna, workspace)
    with pytest.raises(SessionOver):
        await current_role(people.identity, boris.account_id, anna.session_id, CRM)
