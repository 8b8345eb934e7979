"""What administrators of a place see and may do; the API's tests hold the rest."""

from dataclasses import replace

import pytest

from libs.errors import Refused
from libs.testing.clock import Clock
from services.gateway.domain.account import AccountUnknown, LastSuperadmin, PasswordUnfit
from services.gateway.domain.person import BadAddress, Person
from services.gateway.domain.realm import Place, RoleUnknown
from services.gateway.handlers.address import AddressTaken
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.member import (
    ActsElsewhere,
    Wanted,
    change,
    member,
    member_of,
    remove,
)
from services.gateway.read_models.account import by_id
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    KIOSK,
    OTHER_CRM,
    STAFF,
    SUPERADMIN,
    catch_up,
    enter,
    events_of,
    open_account,
    open_several,
)


async def test_the_log_and_the_list_show_the_same_member(identity: Identity, clock: Clock) -> None:
    anna = await open_account(identity, name="Anna")
    for wanted in (Wanted(role="SUPERVISOR"), Wanted(active=False), Wanted(password="new pass")):
        clock.advance(minutes=1)
        await change(identity, anna.account_id, CRM, wanted, actor="x")
    await catch_up(identity)
    row = await by_id(identity.pool, anna.account_id)
    assert row is not None

    found = await member(identity, anna.account_id, CRM)

    assert found == member_of(identity, row, CRM)
    assert (found.role, found.active) == ("SUPERVISOR", False)
    # A password is no change that anybody is shown.
    assert found.opened_at < found.changed_at < clock()


@pytest.mark.parametrize("place", [KIOSK, OTHER_CRM], ids=["realm", "tenant"])
async def test_an_account_without_a_role_in_a_place_is_unknown_there(
    identity: Identity, place: Place
) -> None:
    (anna,) = await open_several(identity, 1)
    row = await by_id(identity.pool, anna.account_id)
    assert row is not None

    with pytest.raises(AccountUnknown):
        await member(identity, anna.account_id, place)
    with pytest.raises(AccountUnknown):
        member_of(identity, row, place)
    with pytest.raises(AccountUnknown):
        await change(identity, anna.account_id, place, Wanted(active=False), actor="x")
    with pytest.raises(AccountUnknown):
        await remove(identity, anna.account_id, place, actor="x")


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
    identity: Identity, wanted: Wanted, refused: type[Refused]
) -> None:
    anna = await open_account(identity)
    await open_account(identity, BORIS)
    before = await events_of(identity, anna.account_id)

    with pytest.raises(refused):
        await change(identity, anna.account_id, CRM, wanted, actor="x")
    assert await events_of(identity, anna.account_id) == before

    await change(identity, anna.account_id, CRM, Wanted(role="SUPERVISOR", active=False), actor="x")
    assert len(await events_of(identity, anna.account_id)) == len(before) + 2


async def test_a_member_who_acts_elsewhere_loses_only_the_role_here(identity: Identity) -> None:
    anna = await open_account(identity, ANNA, ENGINEER, STAFF)

    for wanted in (
        Wanted(password="new password"),
        Wanted(active=False),
        Wanted(person=replace(anna.person, name="Else")),
    ):
        with pytest.raises(ActsElsewhere):
            await change(identity, anna.account_id, CRM, wanted, actor="x")
    unchanged = Wanted(person=anna.person, active=True, role="SUPERVISOR")
    assert (await change(identity, anna.account_id, CRM, unchanged, actor="x")).role == "SUPERVISOR"
    await remove(identity, anna.account_id, CRM, actor="x")

    with pytest.raises(AccountUnknown):
        await member(identity, anna.account_id, CRM)
    assert (await member(identity, anna.account_id, KIOSK)).role == "staff"
    assert (await enter(identity, place=KIOSK)).role == "staff"


async def test_the_last_superadmin_is_not_removed(identity: Identity) -> None:
    (boss,) = await open_several(identity, 1, SUPERADMIN)

    with pytest.raises(LastSuperadmin):
        await remove(identity, boss.account_id, KIOSK, actor="x")
