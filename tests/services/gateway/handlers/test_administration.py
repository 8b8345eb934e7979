"""Roles given and taken, accounts taken out, and the superadmin who must remain."""

import asyncio

import pytest

from libs.testing.clock import Clock
from services.gateway.domain.account import LastSuperadmin
from services.gateway.domain.realm import Role
from services.gateway.handlers.identity import load
from tests.services.gateway.identities import (
    ANNA,
    CRM,
    ENGINEER,
    KIOSK,
    OTHER_KIOSK,
    STAFF,
    SUPERADMIN,
    People,
)

ADMIN = Role(CRM, "ADMIN")


async def test_another_role_counts_at_the_next_login_and_ends_the_sessions_there(
    people: People,
) -> None:
    anna = await people.open(ANNA, ENGINEER, STAFF)
    crm, kiosk = await people.enter(), await people.enter(place=KIOSK)
    await people.catch_up()

    changed = await people.grant(anna, ADMIN)

    assert changed.roles == {CRM: "ADMIN", KIOSK: "staff"}
    await people.assert_over(crm)
    assert (await people.refresh(kiosk)).role == "staff"
    assert "audit:read" in (await people.enter()).scopes


async def test_a_withdrawn_role_opens_nothing_even_if_no_read_model_knew(people: People) -> None:
    into = await people.enter_new()

    await people.withdraw(into.account, CRM)

    await people.assert_over(into)
    await people.assert_shut_out()


async def test_a_deactivated_account_is_out_until_activated(people: People, clock: Clock) -> None:
    before = await people.enter_new()
    clock.advance(seconds=1)
    await people.deactivate(before.account)

    await people.assert_shut_out()

    await people.activate(before.account)
    await people.assert_over(before)
    assert (await people.enter()).account.active


async def test_the_only_superadmin_of_a_tenant_stays(people: People) -> None:
    await people.open("x@example.com", Role(OTHER_KIOSK, "superadmin"))
    (chief,) = await people.several(1, SUPERADMIN)

    for attempt in (
        people.remove(chief),
        people.deactivate(chief),
        people.withdraw(chief, KIOSK),
        people.grant(chief, Role(KIOSK, "admin")),
    ):
        with pytest.raises(LastSuperadmin):
            await attempt

    assert await people.events_of(chief) == ["AccountOpened", "PasswordSet", "RoleGranted"]


async def test_of_two_superadmins_one_may_go_and_then_none(people: People) -> None:
    first, second = await people.several(2, SUPERADMIN)

    await people.remove(first)

    # The read model still shows the first, and the log is believed.
    with pytest.raises(LastSuperadmin):
        await people.remove(second)


@pytest.mark.parametrize("role", [SUPERADMIN, ADMIN], ids=["kiosk", "crm"])
async def test_superadmins_who_take_each_other_out_at_once_leave_one(
    people: People, role: Role
) -> None:
    made = await people.several(5, role)

    results = await asyncio.gather(
        *(people.deactivate(one) for one in made), return_exceptions=True
    )

    names = sorted(type(one).__name__ for one in results)
    assert names == ["LastSuperadmin"] + ["NoneType"] * 4
    left = [one for one in made if (await load(people.identity, one.account_id)).account.active]
    assert len(left) == 1
