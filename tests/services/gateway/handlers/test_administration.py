"""Roles given and taken, what administrators of a place may change, and who must remain."""

import asyncio

import pytest

from libs.errors import Refused
from libs.testing.clock import Clock
from services.gateway.domain.account import LastSuperadmin, PasswordUnfit
from services.gateway.domain.person import BadAddress, Person
from services.gateway.domain.realm import Place, Role, RoleUnknown
from services.gateway.handlers import member as members
from services.gateway.handlers.address import AddressTaken
from services.gateway.handlers.identity import Profile, load
from services.gateway.handlers.member import (
    Member,
    Wanted,
    member,
    member_of,
)
from services.gateway.read_models.account import by_id
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    KIOSK,
    OTHER_KIOSK,
    STAFF,
    SUPERADMIN,
    People,
)

ADMIN = Role(CRM, "ADMIN")


async def test_another_role_ends_sessions_and_counts_at_the_next_login(people: People) -> None:
    anna = await people.open(ANNA, ENGINEER, STAFF)
    crm, kiosk = await people.enter(), await people.enter(place=KIOSK)
    await people.catch_up()

    changed = await people.grant(anna, ADMIN)

    assert changed.roles == {CRM: "ADMIN", KIOSK: "staff"}
    await people.assert_over(crm)
    assert (await people.refresh(kiosk)).role == "staff"
    assert "audit:read" in (await people.enter()).scopes


async def test_the_only_superadmin_of_a_tenant_stays(people: People) -> None:
    await people.open("x@example.com", Role(OTHER_KIOSK, "superadmin"))
    (chief,) = await people.several(1, SUPERADMIN)

    for attempt in (
        people.remove(chief),
        people.deactivate(chief),
        people.withdraw(chief, KIOSK),
        people.grant(chief, Role(KIOSK, "admin")),
        members.remove(people.identity, chief.account_id, KIOSK, actor="x"),
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
async def test_superadmins_who_deactivate_each_other_leave_one(people: People, role: Role) -> None:
    made = await people.several(5, role)

    results = await asyncio.gather(
        *(people.deactivate(one) for one in made), return_exceptions=True
    )

    names = sorted(type(one).__name__ for one in results)
    assert names == ["LastSuperadmin"] + ["NoneType"] * 4
    left = [one for one in made if (await load(people.identity, one.account_id)).account.active]
    assert len(left) == 1


async def change(people: People, account: Profile, wanted: Wanted, place: Place = CRM) -> Member:
    return await members.change(people.identity, account.account_id, place, wanted, actor="x")


async def test_the_log_and_the_list_show_the_same_member(people: People, clock: Clock) -> None:
    anna = await people.open(name="Anna")
    for wanted in (Wanted(role="SUPERVISOR"), Wanted(active=False), Wanted(password="new pass")):
        clock.advance(minutes=1)
        await change(people, anna, wanted)
    await people.catch_up()
    row = await by_id(people.identity.pool, anna.account_id)
    assert row is not None

    found = await member(people.identity, anna.account_id, CRM)

    assert found == member_of(people.identity, row, CRM)
    assert (found.role, found.active) == ("SUPERVISOR", False)
    # A password is no change that anybody is shown.
    assert found.opened_at < found.changed_at < clock()


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        (Wanted(role="EMPEROR"), RoleUnknown),
        (Wanted(role="SUPERVISOR", password="short"), PasswordUnfit),
        (Wanted(person=Person(email=BORIS), role="SUPERVISOR", active=False), AddressTaken),
        (Wanted(person=Person(email="nobody"), role="SUPERVISOR", active=False), BadAddress),
    ],
    ids=["role", "password", "address taken", "no address"],
)
async def test_of_a_change_that_is_refused_in_part_nothing_is_done(
    people: People, wanted: Wanted, refused: type[Refused]
) -> None:
    anna = await people.open()
    await people.open(BORIS)
    before = await people.events_of(anna)

    with pytest.raises(refused):
        await change(people, anna, wanted)
    assert await people.events_of(anna) == before

    await change(people, anna, Wanted(role="SUPERVISOR", active=False))
    assert len(await people.events_of(anna)) == len(before) + 2
