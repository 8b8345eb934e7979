"""What administrators of a place see and may do; the API's tests hold the rest."""

from dataclasses import replace

import pytest

from libs.errors import Refused
from services.gateway.domain.account import AccountUnknown, LastSuperadmin, PasswordUnfit
from services.gateway.domain.person import BadAddress
from services.gateway.domain.realm import Place, Role, RoleUnknown
from services.gateway.handlers.address import AddressTaken
from services.gateway.handlers.administration import grant_role
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


async def test_the_log_and_the_list_show_the_same_member(identity: Identity, clock: Clock) -> None:
    anna = await open_account(identity, name="Anna")
    for wanted in (Wanted(role="SUPERVISOR"), Wanted(active=False), Wanted(password="new pass")):
        clock.pass_by(minutes=1)
        await change(identity, anna.account_id, CRM, wanted, actor="x")
    await catch_up(identity)
    row = await by_id(identity.pool, anna.account_id)
    assert row is not None

    found = await member(identity, anna.account_id, CRM)

    assert found == member_of(identity, row, CRM)
    assert (found.role, found.active) == ("SUPERVISOR", False)
    # A password is no change that anybody is shown.
    assert found.changed_at < clock()
    assert found.opened_at < found.changed_at


async def test_who_has_no_role_in_a_place_is_not_there(identity: Identity) -> None:
    anna = await open_account(identity)
    await catch_up(identity)
    row = await by_id(identity.pool, anna.account_id)
    assert row is not None

    for place in (KIOSK, Place("crm", "other")):
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
        (Wanted(role="SUPERVISOR", active=False), None),
    ],
)
async def test_what_is_refused_changes_nothing(
    identity: Identity, wanted: Wanted, refused: type[Refused] | None
) -> None:
    anna = await open_account(identity)
    before = await events_of(identity, anna.account_id)

    if refused is None:
        await change(identity, anna.account_id, CRM, wanted, actor="x")
        assert len(await events_of(identity, anna.account_id)) == len(before) + 2
        return
    with pytest.raises(refused):
        await change(identity, anna.account_id, CRM, wanted, actor="x")
    assert await events_of(identity, anna.account_id) == before


@pytest.mark.parametrize(
    ("email", "refused"), [("boris@example.com", AddressTaken), ("nobody", BadAddress)]
)
async def test_an_address_that_cannot_be_had_is_refused_before_the_rest_is_done(
    identity: Identity, email: str, refused: type[Refused]
) -> None:
    anna = await open_account(identity)
    await open_account(identity, "boris@example.com")
    before = await events_of(identity, anna.account_id)
    wanted = Wanted(person=replace(anna.person, email=email), role="SUPERVISOR", active=False)

    with pytest.raises(refused):
        await change(identity, anna.account_id, CRM, wanted, actor="x")

    assert await events_of(identity, anna.account_id) == before


async def test_who_acts_elsewhere_loses_only_the_role_here(identity: Identity) -> None:
    anna = await open_account(identity, "anna@example.com", ENGINEER)
    await grant_role(identity, anna.account_id, Role(KIOSK, "staff"), actor="x")

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
    boss = await open_account(identity, "boss@example.com", SUPERADMIN)
    await catch_up(identity)

    with pytest.raises(LastSuperadmin):
        await remove(identity, boss.account_id, KIOSK, actor="x")
