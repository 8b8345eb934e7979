"""Opening and changing accounts, on a real database."""

import asyncio

import pytest

from contracts.gateway import AddressClaimed
from services.gateway.domain.account import (
    AccountUnknown,
    PasswordUnfit,
)
from services.gateway.domain.person import BadAddress, Person, email, phone, username
from services.gateway.domain.realm import Role, RoleUnknown
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import account as accounts
from services.gateway.handlers import administration
from services.gateway.handlers.address import AddressTaken, find
from services.gateway.handlers.identity import Identity, profile
from services.gateway.handlers.login import LoginFailed
from services.gateway.handlers.session import refresh
from tests.services.gateway.told import (
    KIOSK,
    Clock,
    enter,
    open_account,
    told,
)


async def test_whoever_is_registered_can_log_in_at_once(identity: Identity) -> None:
    anna = await open_account(identity, "Anna@example.com", phone="8 999 123-45-67")

    into = await enter(identity, "ANNA@example.com")

    assert into.account == anna
    assert anna.person.phone == "+79991234567"
    assert await find(identity, phone("+7 999 1234567")) == anna.account_id


async def test_of_twenty_who_register_one_address_at_once_one_wins(identity: Identity) -> None:
    spellings = ["anna@example.com", "Anna@Example.com"] * 10

    results = await asyncio.gather(
        *(open_account(identity, spelling) for spelling in spellings), return_exceptions=True
    )

    won = [one for one in results if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in results} == {type(won[0]), AddressTaken}
    assert await find(identity, email("anna@example.com")) == won[0].account_id
    opened = {e.stream for e in await told(identity) if e.stream.startswith("account-")}
    assert opened == {f"account-{won[0].account_id}"}


async def test_of_two_addresses_one_taken_neither_is_claimed(identity: Identity) -> None:
    await open_account(identity, "anna@example.com")

    with pytest.raises(AddressTaken):
        await open_account(identity, "anna@example.com", username="boris")

    assert await find(identity, username("boris")) is None


async def test_numbers_rise_and_are_never_the_same(identity: Identity) -> None:
    made = await asyncio.gather(*(open_account(identity, f"a{n}@example.com") for n in range(8)))

    assert len({one.number for one in made}) == 8
    later = await open_account(identity, "later@example.com")
    assert later.number > max(one.number for one in made)


async def test_nobody_can_read_in_the_log_who_somebody_is(identity: Identity) -> None:
    anna = await open_account(identity, phone="+79991234567", username="anya", name="Anna K")
    await accounts.reset_password(identity, anna.account_id, new="battery staple", actor="boris")
    await enter(identity, password="battery staple")
    with pytest.raises(LoginFailed):
        await enter(identity, password="a wrong one")

    rows = await identity.pool.fetch("SELECT stream, data::text, metadata::text FROM events")

    everything = "\n".join("\n".join(row) for row in rows)
    assert "AccountOpened" not in everything
    assert "sealed" in everything
    for secret in ("example.com", "9991234567", "anya", "Anna", "battery", "argon2", "wrong"):
        assert secret not in everything


@pytest.mark.parametrize("password", ["short", "x" * 129])
async def test_an_unfit_password_opens_nothing(identity: Identity, password: str) -> None:
    with pytest.raises(PasswordUnfit):
        await open_account(identity, password=password)

    assert await told(identity) == []


async def test_a_role_or_address_that_does_not_exist_opens_nothing(identity: Identity) -> None:
    with pytest.raises(RoleUnknown):
        await open_account(identity, "anna@example.com", Role(KIOSK, "emperor"))
    with pytest.raises(BadAddress):
        await open_account(identity, "anna")

    assert await told(identity) == []


async def test_an_address_that_was_given_up_belongs_to_the_next(identity: Identity) -> None:
    anna = await open_account(identity, "office@example.com")
    await accounts.change_person(
        identity, anna.account_id, Person(email="anna@example.com"), actor="anna"
    )

    boris = await open_account(identity, "office@example.com", password="another one")

    assert (await enter(identity, "anna@example.com")).account.account_id == anna.account_id
    into = await enter(identity, "office@example.com", "another one")
    assert into.account.account_id == boris.account_id
    claims = [e.event for e in await told(identity) if isinstance(e.event, AddressClaimed)]
    assert [claim.generation for claim in claims if claim.account_id == boris.account_id] == [2]


async def test_an_address_can_change_hands_many_times(identity: Identity) -> None:
    for _ in range(10):
        made = await open_account(identity)
        await administration.remove(identity, made.account_id, actor="test")

    assert await find(identity, email("anna@example.com")) is None
    last = await open_account(identity)
    assert await find(identity, email("anna@example.com")) == last.account_id


async def test_an_address_of_somebody_else_cannot_be_taken(identity: Identity) -> None:
    await open_account(identity, "anna@example.com")
    boris = await open_account(identity, "boris@example.com")

    with pytest.raises(AddressTaken):
        await accounts.change_person(
            identity, boris.account_id, Person(email="ANNA@example.com"), actor="boris"
        )

    assert (await profile(identity, boris.account_id)).person.email == "boris@example.com"


async def test_changing_to_the_same_changes_nothing(identity: Identity) -> None:
    anna = await open_account(identity)
    before = await told(identity)

    await accounts.change_person(identity, anna.account_id, anna.person, actor="anna")

    assert await told(identity) == before


async def test_the_other_spelling_of_an_own_address_keeps_it(identity: Identity) -> None:
    anna = await open_account(identity, "anna@example.com")

    changed = await accounts.change_person(
        identity, anna.account_id, Person(email="Anna@example.com"), actor="anna"
    )

    assert changed.person.email == "Anna@example.com"
    assert await find(identity, email("anna@example.com")) == anna.account_id


async def test_what_is_removed_cannot_log_in_and_its_address_is_free(
    identity: Identity, clock: Clock
) -> None:
    anna = await open_account(identity)
    into = await enter(identity)
    clock.pass_by(seconds=1)
    await administration.remove(identity, anna.account_id, actor="boris")
    await administration.remove(identity, anna.account_id, actor="boris")

    with pytest.raises(LoginFailed):
        await enter(identity)
    with pytest.raises(SessionOver):
        await refresh(identity, into.refresh_token)
    with pytest.raises(AccountUnknown):
        await profile(identity, anna.account_id)
    again = await open_account(identity)
    assert again.account_id != anna.account_id
    assert again.number > anna.number


async def test_of_changes_at_once_the_last_one_holds_and_no_address_is_left_behind(
    identity: Identity,
) -> None:
    anna = await accounts.open_account(
        identity, Person(username="anna"), password=None, roles=[], actor=None
    )
    wanted = [f"anna{n}@example.com" for n in range(3)]

    await asyncio.gather(
        *(
            accounts.change_person(
                identity, anna.account_id, Person(username="anna", email=one), actor="anna"
            )
            for one in wanted
        )
    )

    held = (await profile(identity, anna.account_id)).person.email
    owners = {one: await find(identity, email(one)) for one in wanted}
    assert held in wanted
    assert owners == {one: anna.account_id if one == held else None for one in wanted}
