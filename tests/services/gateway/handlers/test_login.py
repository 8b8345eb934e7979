"""Logging in with a password: every failure looks the same, hashes are renewed."""

from dataclasses import replace
from typing import Any

import pytest

from libs.security.passwords import Passwords, Verdict
from libs.testing.clock import Clock
from services.gateway.domain.realm import Role
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import NotAdmitted, open_session, refresh
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
    enter,
    enter_new,
    events_of,
    open_account,
    refusals,
    reset_password,
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


async def test_a_login_gets_the_scopes_of_the_role(identity: Identity) -> None:
    anna = await open_account(identity)

    into = await enter(identity)

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
    identity: Identity, address: str | None, password: str, reason: str
) -> None:
    counted = Counted(cost=CHEAP)
    identity = replace(identity, passwords=counted)
    await open_account(identity)
    out = await open_account(identity, "out@example.com")
    await administration.deactivate(identity, out.account_id, reason="", actor="test")
    await open_account(identity, "code@example.com", password=None)
    await open_account(identity, "kiosk@example.com", STAFF)

    with pytest.raises(LoginFailed) as refused:
        await enter(identity, address, password)

    assert str(refused.value) == str(LoginFailed())
    assert counted.checks == 1
    (recorded,) = await refusals(identity)
    assert (recorded.reason, recorded.account_id is None) == (reason, reason == "unknown")
    counted.close()


async def test_refusals_are_recorded_once_a_minute_for_an_address(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    for _ in range(5):
        with pytest.raises(LoginFailed):
            await enter(identity, password="a wrong one")
    assert [one.account_id for one in await refusals(identity)] == [anna.account_id]

    clock.advance(minutes=1)
    with pytest.raises(LoginFailed):
        await enter(identity, password="a wrong one")

    assert len(await refusals(identity)) == 2


async def test_a_tenant_may_be_left_open_and_is_then_the_first(identity: Identity) -> None:
    await open_account(identity, ANNA, STAFF, Role(OTHER_CRM, "ADMIN"), ENGINEER)

    into = await enter(identity, tenant=None)

    assert (into.place, into.role) == (OTHER_CRM, "ADMIN")


async def test_a_door_lets_in_the_roles_it_is_for(identity: Identity) -> None:
    await open_account(identity, ANNA, Role(KIOSK, "kiosk"))

    with pytest.raises(LoginFailed):
        await enter(identity, place=KIOSK, roles={"staff", "admin"})

    assert (await enter(identity, place=KIOSK, roles={"kiosk"})).scopes == {"kiosk:device"}


async def test_an_outdated_hash_is_renewed_and_sessions_live_on(
    identity: Identity, clock: Clock
) -> None:
    before = await enter_new(identity)
    clock.advance(hours=1)
    dearer = Passwords(cost=DEARER)

    for _ in range(2):
        await enter(replace(identity, passwords=dearer))

    events = await events_of(identity, before.account.account_id)
    assert events == ["AccountOpened", "PasswordSet", "RoleGranted", "PasswordSet"]
    assert (await refresh(identity, before.refresh_token)).session_id == before.session_id
    dearer.close()


async def test_renewing_a_hash_never_brings_an_old_password_back(identity: Identity) -> None:
    anna = await open_account(identity)

    class Meanwhile(Passwords):
        async def hash(self, password: str) -> str:
            await reset_password(identity, anna.account_id)
            return await super().hash(password)

    slow = Meanwhile(cost=DEARER)
    await enter(replace(identity, passwords=slow))
    slow.close()

    with pytest.raises(LoginFailed):
        await enter(identity)
    assert (await enter(identity, password=NEW_PASSWORD)).role == "ENGINEER"


async def test_an_account_proved_otherwise_gets_in_without_a_password(identity: Identity) -> None:
    anna = await open_account(identity, password=None)
    admitted: dict[str, Any] = {"identity": identity, "account_id": anna.account_id}

    into = await open_session(**admitted, place=CRM, device="telegram")

    assert into.account.account_id == anna.account_id
    with pytest.raises(NotAdmitted):
        await open_session(**admitted, place=KIOSK, device="telegram")
    await administration.deactivate(identity, anna.account_id, reason="", actor="boris")
    with pytest.raises(NotAdmitted):
        await open_session(**admitted, place=CRM, device="telegram")
