"""Opening, changing and setting up accounts, their roles, and who of them must remain."""

import asyncio

import pytest

from contracts.gateway import AddressClaimed
from libs.errors import Refused
from libs.testing.clock import Clock
from services.gateway.accounts.domain.account import AlreadySetUp, LastSuperadmin, PasswordUnfit
from services.gateway.accounts.domain.person import BadAddress, Person, email, username
from services.gateway.accounts.domain.realm import Role, RoleUnknown, Workspace
from services.gateway.accounts.handlers.address import AddressTaken, find
from services.gateway.accounts.handlers.identity import Identity, Profile, load, profile
from services.gateway.accounts.read_models.account import by_number
from services.gateway.administration.handlers import account as accounts
from services.gateway.administration.handlers import member as members
from services.gateway.administration.handlers.member import (
    Member,
    MemberChanges,
    load_member,
    member_of,
)
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    KIOSK,
    NEW_PASSWORD,
    OTHER_KIOSK,
    PASSWORD,
    STAFF,
    SUPERADMIN,
    People,
)

OFFICE = "office@example.com"


async def test_of_twenty_concurrent_registrations_of_an_address_one_succeeds(
    people: People,
) -> None:
    spellings = ["anna@example.com", "Anna@Example.com"] * 10

    results = await asyncio.gather(
        *(people.open(spelling) for spelling in spellings), return_exceptions=True
    )

    won = [one for one in results if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in results} == {type(won[0]), AddressTaken}
    assert await find(people.identity, email(ANNA)) == won[0].account_id
    streams = {e.stream for e in await people.history() if e.stream.startswith("account-")}
    assert streams == {f"account-{won[0].account_id}"}


async def test_of_two_addresses_one_taken_neither_is_claimed(people: People) -> None:
    await people.open()

    with pytest.raises(AddressTaken):
        await people.open(username="boris")

    assert await find(people.identity, username("boris")) is None


async def test_numbers_rise_and_are_never_the_same(people: People) -> None:
    made = await asyncio.gather(*(people.open(f"a{n}@example.com") for n in range(8)))

    assert len({one.number for one in made}) == 8
    later = await people.open("later@example.com")
    assert later.number > max(one.number for one in made)


async def test_the_log_gives_away_neither_persons_nor_passwords(people: People) -> None:
    anna = await people.open(phone="+79991234567", username="anya", name="Anna K")
    await people.reset_password(anna)
    await people.enter(password=NEW_PASSWORD)
    await people.assert_shut_out(password="a wrong one")

    rows = await people.identity.pool.fetch("SELECT stream, data::text, metadata::text FROM events")

    everything = "\n".join("\n".join(row) for row in rows)
    assert "AccountOpened" not in everything
    assert "sealed" in everything
    for secret in ("example.com", "9991234567", "anya", "Anna", "battery", "argon2", "wrong"):
        assert secret not in everything


async def test_an_address_that_was_given_up_belongs_to_the_next(people: People) -> None:
    anna = await people.open(OFFICE)
    await people.change_email(anna, ANNA)

    boris = await people.open(OFFICE, password="another one")

    assert (await people.enter(ANNA)).account.account_id == anna.account_id
    into = await people.enter(OFFICE, "another one")
    assert into.account.account_id == boris.account_id
    claims = [e.event for e in await people.history() if isinstance(e.event, AddressClaimed)]
    assert [claim.generation for claim in claims if claim.account_id == boris.account_id] == [2]


async def test_an_address_belongs_to_one_account_in_each_workspace(people: People) -> None:
    """An unproved address of one workspace does not block accounts of others."""
    made = await asyncio.gather(
        *(people.open(ANNA, role) for role in (ENGINEER, STAFF) for _ in range(5)),
        return_exceptions=True,
    )
    won = {one.account_id: one for one in made if isinstance(one, Profile)}
    assert sorted(next(iter(one.roles)).realm for one in won.values()) == ["crm", "kiosk"]
    at = {next(iter(one.roles)): one for one in won.values()}
    for workspace, one in at.items():
        assert (await people.enter(ANNA, workspace=workspace)).account.account_id == one.account_id

    # Who has it in a place is found there only, and nobody else comes in by it.
    with pytest.raises(AddressTaken):
        await people.grant(at[CRM], STAFF)
    await people.remove(at[CRM])
    await people.assert_shut_out(ANNA, workspace=CRM)
    assert (await people.enter(ANNA, workspace=KIOSK)).account.account_id == at[KIOSK].account_id
    with pytest.raises(AddressTaken):
        await people.open(ANNA, STAFF)
    again = await people.open(ANNA, ENGINEER, password=NEW_PASSWORD)
    assert (await people.enter(ANNA, NEW_PASSWORD)).account.account_id == again.account_id


@pytest.mark.parametrize("leave", ["withdraw", "change", "remove"])
async def test_an_address_is_free_again_in_the_workspace_that_its_owner_left(
    people: People, leave: str
) -> None:
    await people.open(ANNA, ENGINEER)
    boris = await people.open(ANNA, STAFF)
    match leave:
        case "withdraw":
            await people.withdraw(boris, KIOSK)
        case "change":
            await people.change_email(boris, BORIS)
        case _:
            await people.remove(boris)

    after = await people.open(ANNA, STAFF, password=NEW_PASSWORD)

    into = await people.enter(ANNA, NEW_PASSWORD, workspace=KIOSK)
    assert into.account.account_id == after.account_id
    await people.enter(ANNA, workspace=CRM)


async def test_a_role_in_another_workspace_claims_the_address_there(people: People) -> None:
    await people.open(ANNA, ENGINEER)
    boris = await people.open(ANNA, STAFF)
    await people.grant(boris, Role(OTHER_KIOSK, "staff"))

    into = await people.enter(ANNA, workspace=OTHER_KIOSK)

    assert into.account.account_id == boris.account_id


async def test_an_address_can_change_hands_many_times(people: People) -> None:
    for _ in range(10):
        made = await people.open()
        await people.remove(made)

    assert await find(people.identity, email(ANNA)) is None
    last = await people.open()
    assert await find(people.identity, email(ANNA)) == last.account_id


async def test_the_same_is_no_change_and_another_spelling_keeps_the_address(people: People) -> None:
    anna = await people.open()
    before = await people.history()
    await accounts.change_person(people.identity, anna.account_id, anna.person, actor="anna")
    assert await people.history() == before

    changed = await people.change_email(anna, "Anna@example.com")
    assert changed.person.email == "Anna@example.com"
    assert await find(people.identity, email(ANNA)) == anna.account_id


async def test_of_concurrent_changes_one_holds_and_no_address_is_lost(people: People) -> None:
    anna = await people.open("first@example.com", password=None)
    changes = [f"anna{n}@example.com" for n in range(3)]

    await asyncio.gather(*(people.change_email(anna, one) for one in changes))

    held = (await profile(people.identity, anna.account_id)).person.email
    owners = {one: await find(people.identity, email(one)) for one in changes}
    assert held in changes
    assert owners == {one: anna.account_id if one == held else None for one in changes}


async def test_of_ten_concurrent_set_ups_one_gives_a_superadmin(identity: Identity) -> None:
    assert not await accounts.is_set_up(identity, KIOSK)

    results = await asyncio.gather(
        *(
            accounts.set_up(
                identity, Person(username=f"chief-{n}"), password=PASSWORD, workspace=KIOSK
            )
            for n in range(10)
        ),
        return_exceptions=True,
    )

    won = [one for one in results if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in results} == {type(won[0]), AlreadySetUp}
    assert won[0].roles == {KIOSK: "superadmin"}
    assert await accounts.is_set_up(identity, KIOSK)


async def test_setting_up_is_over_once_an_account_was_superadmin(people: People) -> None:
    anna = await people.open()
    await people.grant(anna, SUPERADMIN)
    chief = Person(username="chief")

    with pytest.raises(AlreadySetUp):
        await accounts.set_up(people.identity, chief, password=PASSWORD, workspace=KIOSK)

    elsewhere = await accounts.set_up(
        people.identity, chief, password=PASSWORD, workspace=OTHER_KIOSK
    )
    assert elsewhere.roles == {OTHER_KIOSK: "superadmin"}


ADMIN = Role(CRM, "ADMIN")


async def test_another_role_ends_sessions_and_counts_at_the_next_login(people: People) -> None:
    anna = await people.open(ANNA, ENGINEER, STAFF)
    crm, kiosk = await people.enter(), await people.enter(workspace=KIOSK)
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
        members.remove_member(people.identity, chief.account_id, KIOSK, actor="x"),
    ):
        with pytest.raises(LastSuperadmin):
            await attempt

    assert await people.events_of(chief) == ["AccountOpened", "PasswordSet", "RoleGranted"]


@pytest.mark.parametrize("role", [SUPERADMIN, ADMIN], ids=["kiosk", "crm"])
async def test_of_superadmins_who_deactivate_each_other_one_remains(
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


async def change(
    people: People, account: Profile, changes: MemberChanges, workspace: Workspace = CRM
) -> Member:
    return await members.change_member(
        people.identity, account.account_id, workspace, changes, actor="x"
    )


async def test_the_log_and_the_list_show_the_same_member(people: People, clock: Clock) -> None:
    anna = await people.open(name="Anna")
    for changes in (
        MemberChanges(role="SUPERVISOR"),
        MemberChanges(active=False),
        MemberChanges(password="new pass"),
    ):
        clock.advance(minutes=1)
        await change(people, anna, changes)
    await people.catch_up()
    row = await by_number(people.identity.pool, anna.number)
    assert row is not None

    found = await load_member(people.identity, anna.account_id, CRM)

    assert found == member_of(people.identity, row, CRM)
    assert (found.role, found.active) == ("SUPERVISOR", False)
    # A password is no change that anybody is shown.
    assert found.opened_at < found.changed_at < clock()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (MemberChanges(role="EMPEROR"), RoleUnknown),
        (MemberChanges(role="SUPERVISOR", password="short"), PasswordUnfit),
        (MemberChanges(person=Person(email=BORIS), role="SUPERVISOR", active=False), AddressTaken),
        (MemberChanges(person=Person(email="nobody"), role="SUPERVISOR", active=False), BadAddress),
    ],
    ids=["role", "password", "address taken", "no address"],
)
async def test_of_a_change_that_is_refused_in_part_nothing_is_done(
    people: People, changes: MemberChanges, refused: type[Refused]
) -> None:
    anna = await people.open()
    await people.open(BORIS)
    before = await people.events_of(anna)

    with pytest.raises(refused):
        await change(people, anna, changes)
    assert await people.events_of(anna) == before

    await change(people, anna, MemberChanges(role="SUPERVISOR", active=False))
    assert len(await people.events_of(anna)) == len(before) + 2
