"""Roles given and taken, accounts taken out, and the superadmin who must remain."""

import asyncio

import pytest

from services.gateway.domain.account import AccountUnknown, LastSuperadmin
from services.gateway.domain.realm import Place, Role, RoleUnknown
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity, Profile, load
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import refresh
from tests.services.gateway.told import (
    CRM,
    ENGINEER,
    KIOSK,
    SUPERADMIN,
    Clock,
    catch_up,
    enter,
    events_of,
    open_account,
)


async def chiefs(identity: Identity, number: int, role: Role = SUPERADMIN) -> list[Profile]:
    made = [await open_account(identity, f"c{n}@example.com", role) for n in range(number)]
    await catch_up(identity)
    return made


async def test_a_role_counts_at_the_next_login(identity: Identity) -> None:
    anna = await open_account(identity)

    changed = await administration.grant_role(
        identity, anna.account_id, Role(CRM, "ADMIN"), actor="boris"
    )

    assert changed.roles == {CRM: "ADMIN"}
    assert "audit:read" in (await enter(identity)).scopes


async def test_a_role_that_does_not_exist_is_not_granted(identity: Identity) -> None:
    anna = await open_account(identity)

    with pytest.raises(RoleUnknown):
        await administration.grant_role(
            identity, anna.account_id, Role(CRM, "superadmin"), actor="boris"
        )


async def test_another_role_ends_the_sessions_there_and_no_others(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity, "anna@example.com", ENGINEER, Role(KIOSK, "staff"))
    crm, kiosk = await enter(identity), await enter(identity, place=KIOSK)
    await catch_up(identity)

    await administration.grant_role(identity, anna.account_id, Role(CRM, "ADMIN"), actor="boris")

    with pytest.raises(SessionOver):
        await refresh(identity, crm.refresh_token)
    assert (await refresh(identity, kiosk.refresh_token)).role == "staff"


async def test_a_withdrawn_role_opens_nothing_even_if_no_read_model_knew(
    identity: Identity,
) -> None:
    anna = await open_account(identity)
    into = await enter(identity)

    await administration.withdraw_role(identity, anna.account_id, CRM, actor="boris")

    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(identity)


async def test_who_was_taken_out_is_out_until_let_in_again(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    before = await enter(identity)
    clock.pass_by(seconds=1)
    await administration.deactivate(identity, anna.account_id, reason="leave", actor="boris")

    with pytest.raises(LoginFailed):
        await enter(identity)

    await administration.activate(identity, anna.account_id, actor="boris")
    with pytest.raises(SessionOver):
        await refresh(identity, before.refresh_token)
    assert (await enter(identity)).account.active


async def test_the_only_superadmin_stays(identity: Identity) -> None:
    (chief,) = await chiefs(identity, 1)
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
    first, second = await chiefs(identity, 2)

    await administration.remove(identity, first.account_id, actor="second")

    # The read model still shows the first, and the log is believed.
    with pytest.raises(LastSuperadmin):
        await administration.remove(identity, second.account_id, actor="second")


@pytest.mark.parametrize("role", [SUPERADMIN, Role(CRM, "ADMIN")])
async def test_superadmins_who_take_each_other_out_at_once_leave_one(
    identity: Identity, role: Role
) -> None:
    made = await chiefs(identity, 5, role)

    results = await asyncio.gather(
        *(
            administration.deactivate(identity, one.account_id, reason="", actor="another")
            for one in made
        ),
        return_exceptions=True,
    )

    assert sorted(map(type, results), key=str) == sorted(
        [type(None)] * 4 + [LastSuperadmin], key=str
    )
    left = [one for one in made if (await load(identity, one.account_id)).account.active]
    assert len(left) == 1


async def test_a_superadmin_of_another_tenant_is_no_replacement(identity: Identity) -> None:
    (chief,) = await chiefs(identity, 1)
    await open_account(identity, "x@example.com", Role(Place("kiosk", "other"), "superadmin"))
    await catch_up(identity)

    with pytest.raises(LastSuperadmin):
        await administration.remove(identity, chief.account_id, actor="chief")


async def test_nobody_can_be_taken_out_who_is_not_there(identity: Identity) -> None:
    anna = await open_account(identity)
    await administration.remove(identity, anna.account_id, actor="boris")

    with pytest.raises(AccountUnknown):
        await administration.deactivate(identity, anna.account_id, reason="", actor="boris")
    with pytest.raises(AccountUnknown):
        await administration.activate(identity, anna.account_id, actor="boris")
