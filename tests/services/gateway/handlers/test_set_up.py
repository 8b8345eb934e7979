"""Setting up: the first superadmin of a place."""

import asyncio

import pytest

from services.gateway.domain.account import (
    AlreadySetUp,
)
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place, Role
from services.gateway.handlers import account as accounts
from services.gateway.handlers import administration
from services.gateway.handlers.identity import Identity
from tests.services.gateway.told import (
    KIOSK,
    PASSWORD,
    open_account,
)

CHIEF = Person(username="chief")


async def test_of_ten_who_set_it_up_at_once_one_is_superadmin(identity: Identity) -> None:
    assert not await accounts.is_set_up(identity, KIOSK)

    results = await asyncio.gather(
        *(
            accounts.set_up(identity, Person(username=f"chief-{n}"), password=PASSWORD, place=KIOSK)
            for n in range(10)
        ),
        return_exceptions=True,
    )

    won = [one for one in results if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in results} == {type(won[0]), AlreadySetUp}
    assert won[0].roles == {KIOSK: "superadmin"}
    assert await accounts.is_set_up(identity, KIOSK)


async def test_setting_up_is_over_once_anybody_was_superadmin(identity: Identity) -> None:
    anna = await open_account(identity)
    await administration.grant_role(
        identity, anna.account_id, Role(KIOSK, "superadmin"), actor="command line"
    )

    with pytest.raises(AlreadySetUp):
        await accounts.set_up(identity, CHIEF, password=PASSWORD, place=KIOSK)

    elsewhere = await accounts.set_up(
        identity, CHIEF, password=PASSWORD, place=Place("kiosk", "other")
    )
    assert elsewhere.roles == {Place("kiosk", "other"): "superadmin"}
