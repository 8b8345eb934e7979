"""Logging in with a password: every failure looks the same, hashes are renewed."""

from functools import partial

import pytest

from libs.security.passwords import Passwords, Verdict
from libs.testing.clock import Clock
from services.gateway.domain.realm import Role
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import NotAdmitted, open_session
from tests.services.gateway.identities import (
    ANNA,
    CHEAP,
    CRM,
    DEARER,
    ENGINEER,
    KIOSK,
    NEW_PASSWORD,
    OTHER_CRM,
    PASSWORD,
    STAFF,
    People,
)


class Counted(Passwords):
    """Counts the checks."""

    checks = 0

    async def verify(self, hashed: str, password: str) -> Verdict:
        self.checks += 1
        return await super().verify(hashed, password)

    async def verify_nobody(self, password: str) -> Verdict:
        self.checks += 1
        return await super().verify_nobody(password)


async def test_a_login_gets_the_scopes_of_the_role(people: People) -> None:
    anna = await people.open()

    into = await people.enter()

    assert (into.account.account_id, into.place, into.role) == (anna.account_id, CRM, "ENGINEER")
    assert "visits:write" in into.scopes
    assert "audit:read" not in into.scopes


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
async def test_every_failure_looks_the_same_costs_one_check_and_is_recorded_with_its_reason(
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


async def test_refusals_are_recorded_once_a_minute_for_an_address(
    people: People, clock: Clock
) -> None:
    anna = await people.open()
    for _ in range(5):
        await people.assert_shut_out(password="a wrong one")
    assert [one.account_id for one in await people.refusals()] == [anna.account_id]

    clock.advance(minutes=1)
    await people.assert_shut_out(password="a wrong one")

    assert len(await people.refusals()) == 2


async def test_a_tenant_may_be_left_open_and_is_then_the_first(people: People) -> None:
    await people.open(ANNA, STAFF, Role(OTHER_CRM, "ADMIN"), ENGINEER)

    into = await people.enter(tenant=None)

    assert (into.place, into.role) == (OTHER_CRM, "ADMIN")


async def test_a_door_lets_in_the_roles_it_is_for(people: People) -> None:
    await people.open(ANNA, Role(KIOSK, "kiosk"))

    await people.assert_shut_out(place=KIOSK, roles={"staff", "admin"})

    assert (await people.enter(place=KIOSK, roles={"kiosk"})).scopes == {"kiosk:device"}


async def test_an_outdated_hash_is_renewed_and_sessions_live_on(
    people: People, clock: Clock
) -> None:
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
        async def hash(self, password: str) -> str:
            await people.reset_password(anna)
            return await super().hash(password)

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
