"""Logging in with a password."""

from dataclasses import replace

import pytest

from libs.security.passwords import Cost, Passwords, Verdict
from services.gateway.domain.person import email
from services.gateway.domain.realm import Place, Role
from services.gateway.handlers import account as accounts
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.login import LoginFailed, log_in
from services.gateway.handlers.session import NotAdmitted, open_session, refresh
from tests.services.gateway.told import (
    CRM,
    ENGINEER,
    KIOSK,
    PASSWORD,
    Clock,
    enter,
    events_of,
    open_account,
    refusals,
)


class Counted(Passwords):
    """Remembers what it was asked."""

    def __init__(self, cost: Cost) -> None:
        super().__init__(cost=cost)
        self.asked: list[str] = []

    async def verify(self, hashed: str, password: str) -> Verdict:
        self.asked.append("verify")
        return await super().verify(hashed, password)

    async def verify_nobody(self, password: str) -> Verdict:
        self.asked.append("nobody")
        return await super().verify_nobody(password)


async def test_who_logs_in_gets_the_scopes_of_the_role(identity: Identity) -> None:
    anna = await open_account(identity)

    into = await enter(identity)

    assert (into.account.account_id, into.place, into.role) == (anna.account_id, CRM, "ENGINEER")
    assert "visits:write" in into.scopes
    assert "audit:read" not in into.scopes


async def test_every_failure_looks_the_same_and_costs_one_check(
    identity: Identity, clock: Clock
) -> None:
    counted = Counted(Cost(memory_kib=64, passes=1))
    identity = replace(identity, passwords=counted)
    await open_account(identity)
    out = await open_account(identity, "out@example.com")
    await administration.deactivate(identity, out.account_id, reason="", actor="test")
    await open_account(identity, "code@example.com", password=None)
    await open_account(identity, "kiosk@example.com", Role(KIOSK, "staff"))

    said = set()
    for address, password in (
        ("nobody@example.com", PASSWORD),
        ("anna@example.com", "a wrong one"),
        ("out@example.com", PASSWORD),
        ("out@example.com", "a wrong one"),
        ("code@example.com", PASSWORD),
        ("kiosk@example.com", PASSWORD),
    ):
        counted.asked.clear()
        with pytest.raises(LoginFailed) as refused:
            await enter(identity, address, password)
        said.add(str(refused.value))
        assert len(counted.asked) == 1

    assert len(said) == 1
    reasons = sorted(one.reason for one in await refusals(identity))
    assert reasons == ["deactivated", "password", "password", "role", "unknown"]
    counted.close()


async def test_what_is_no_address_fails_the_same_way(identity: Identity) -> None:
    with pytest.raises(LoginFailed):
        await log_in(identity, realm="crm", tenant=None, address=None, password=PASSWORD, device="")

    (refused,) = await refusals(identity)
    assert (refused.reason, refused.account_id) == ("unknown", None)


async def test_refusals_are_recorded_once_a_minute_for_an_address(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    for _ in range(5):
        with pytest.raises(LoginFailed):
            await enter(identity, password="a wrong one")
    assert [one.account_id for one in await refusals(identity)] == [anna.account_id]

    clock.pass_by(minutes=1)
    with pytest.raises(LoginFailed):
        await enter(identity, password="a wrong one")

    assert len(await refusals(identity)) == 2


async def test_a_tenant_may_be_left_open_and_is_then_the_first(identity: Identity) -> None:
    other = Role(Place("crm", "other"), "ADMIN")
    await open_account(identity, "anna@example.com", Role(KIOSK, "staff"), other, ENGINEER)

    into = await log_in(
        identity,
        realm="crm",
        tenant=None,
        address=email("anna@example.com"),
        password=PASSWORD,
        device="",
    )

    assert (into.place, into.role) == (other.place, "ADMIN")


async def test_a_door_lets_in_the_roles_it_is_for(identity: Identity) -> None:
    await open_account(identity, "k@example.com", Role(KIOSK, "kiosk"))
    asked = {
        "realm": "kiosk",
        "tenant": "demo",
        "address": email("k@example.com"),
        "password": PASSWORD,
        "device": "",
    }

    with pytest.raises(LoginFailed):
        await log_in(identity, **asked, roles={"staff", "admin"})  # type: ignore[arg-type]

    into = await log_in(identity, **asked, roles={"kiosk"})  # type: ignore[arg-type]
    assert into.scopes == {"kiosk:device"}


async def test_an_outdated_hash_is_renewed_and_sessions_live_on(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    before = await enter(identity)
    clock.pass_by(hours=1)
    dearer = Passwords(cost=Cost(memory_kib=128, passes=1))
    today = replace(identity, passwords=dearer)

    await enter(today)
    await enter(today)

    told = await events_of(identity, anna.account_id)
    assert told == ["AccountOpened", "PasswordSet", "RoleGranted", "PasswordSet"]
    assert (await refresh(identity, before.refresh_token)).session_id == before.session_id
    dearer.close()


async def test_renewing_a_hash_never_brings_an_old_password_back(identity: Identity) -> None:
    anna = await open_account(identity)

    class Meanwhile(Passwords):
        async def hash(self, password: str) -> str:
            await accounts.reset_password(
                identity, anna.account_id, new="battery staple", actor="boris"
            )
            return await super().hash(password)

    slow = Meanwhile(cost=Cost(memory_kib=128, passes=1))
    await enter(replace(identity, passwords=slow))
    slow.close()

    with pytest.raises(LoginFailed):
        await enter(identity)
    assert (await enter(identity, password="battery staple")).role == "ENGINEER"


async def test_who_proved_it_otherwise_gets_in_without_a_password(identity: Identity) -> None:
    anna = await open_account(identity, password=None)

    into = await open_session(identity, anna.account_id, CRM, device="telegram")

    assert into.account.account_id == anna.account_id
    with pytest.raises(NotAdmitted):
        await open_session(identity, anna.account_id, KIOSK, device="telegram")
    await administration.deactivate(identity, anna.account_id, reason="", actor="boris")
    with pytest.raises(NotAdmitted):
        await open_session(identity, anna.account_id, CRM, device="telegram")
