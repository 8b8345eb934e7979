"""Roles given and taken, accounts taken out, and the superadmin who must remain."""

import asyncio

import pytest

from libs.testing.clock import Clock
from services.gateway.domain.account import AccountUnknown, LastSuperadmin
from services.gateway.domain.realm import Role, RoleUnknown
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity, load
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import refresh
from tests.services.gateway.identities import (
    ANNA,
    CRM,
    ENGINEER,
    KIOSK,
    OTHER_KIOSK,
    STAFF,
    SUPERADMIN,
    catch_up,
    enter,
    enter_new,
    events_of,
    open_account,
    open_several,
)

ADMIN = Role(CRM, "ADMIN")


async def test_another_role_counts_at_the_next_login_and_ends_the_sessions_there(
    identity: Identity,
) -> None:
    anna = await open_account(identity, ANNA, ENGINEER, STAFF)
    crm, kiosk = await enter(identity), await enter(identity, place=KIOSK)
    await catch_up(identity)

    changed = await administration.grant_role(identity, anna.account_id, ADMIN, actor="boris")

    assert changed.roles == {CRM: "ADMIN", KIOSK: "staff"}
    with pytest.raises(SessionOver):
        await refresh(identity, crm.refresh_token)
    assert (await refresh(identity, kiosk.refresh_token)).role == "staff"
    assert "audit:read" in (await enter(identity)).scopes


async def test_a_role_that_does_not_exist_is_not_granted(identity: Identity) -> None:
    anna = await open_account(identity)

    with pytest.raises(RoleUnknown):
        await administration.grant_role(
            identity, anna.account_id, Role(CRM, "superadmin"), actor="boris"
        )


async def test_a_withdrawn_role_opens_nothing_even_if_no_read_model_knew(
    identity: Identity,
) -> None:
    into = await enter_new(identity)

    await administration.withdraw_role(identity, into.account.account_id, CRM, actor="boris")

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(identity)


async def test_a_deactivated_account_is_out_until_activated(
    identity: Identity, clock: Clock
) -> None:
    before = await enter_new(identity)
    account_id = before.account.account_id
    clock.advance(seconds=1)
    await administration.deactivate(identity, account_id, reason="leave", actor="boris")

    with pytest.raises(LoginFailed):
        await enter(identity)

    await administration.activate(identity, account_id, actor="boris")
    with pytest.raises(SessionOver):
        await refresh(identity, before.refresh_token)
    assert (await enter(identity)).account.active


async def test_the_only_superadmin_of_a_tenant_stays(identity: Identity) -> None:
    await open_account(identity, "x@example.com", Role(OTHER_KIOSK, "superadmin"))
    (chief,) = await open_several(identity, 1, SUPERADMIN)
    of = chief.account_id

    for attempt in (
        administration.remove(identity, of, actor="chief"),
        administration.deactivate(identity, of, reason="", actor="chief"),
        administration.withdraw_role(identity, of, KIOSK, actor="chief"),
        administration.grant_role(identity, of, Role(KIOSK, "admin"), actor="chief"),
    ):
        with pytest.raises(LastSuperadmin):
            await attempt

    assert await events_of(identity, of) == ["AccountOpened", "PasswordSet", "RoleGranted"]


async def test_of_two_superadmins_one_may_go_and_then_none(identity: Identity) -> None:
    first, second = await open_several(identity, 2, SUPERADMIN)

    await administration.remove(identity, first.account_id, actor="second")

    # The read model still shows the first, and the log is believed.
    with pytest.raises(LastSuperadmin):
        await administration.remove(identity, second.account_id, actor="second")


@pytest.mark.parametrize("role", [SUPERADMIN, ADMIN], ids=["kiosk", "crm"])
async def test_superadmins_who_take_each_other_out_at_once_leave_one(
    identity: Identity, role: Role
) -> None:
    made = await open_several(identity, 5, role)

    results = await asyncio.gather(
        *(
            administration.deactivate(identity, one.account_id, reason="", actor="another")
            for one in made
        ),
        return_exceptions=True,
    )

    names = sorted(type(one).__name__ for one in results)
    assert names == ["LastSuperadmin"] + ["NoneType"] * 4
    left = [one for one in made if (await load(identity, one.account_id)).account.active]
    assert len(left) == 1


async def test_a_removed_account_is_neither_deactivated_nor_activated(identity: Identity) -> None:
    anna = await open_account(identity)
    await administration.remove(identity, anna.account_id, actor="boris")

    with pytest.raises(AccountUnknown):
        await administration.deactivate(identity, anna.account_id, reason="", actor="boris")
    with pytest.raises(AccountUnknown):
        await administration.activate(identity, anna.account_id, actor="boris")
