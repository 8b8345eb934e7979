"""Registering a shop by a phone that was proved (spec shop §2.1, §2.2)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from contracts.gateway import AccountId
from libs.security import tokens
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.domain import person as people
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.handlers.account import open_account
from services.gateway.handlers.address import find
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import AUTH, AUTH_TOKEN, Door, Someone, bearer, opened


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with open_bot_api() as api, opened(url, api) as made:
        yield made


async def account_of(door: Door, who: Someone) -> AccountId:
    found = await find(door.deps.identity, people.phone(who.phone))
    assert found is not None
    return found


async def test_an_unknown_phone_gets_a_pending_token_and_then_a_shop(door: Door) -> None:
    anna = Someone()
    await door.link(anna)

    first = await door.log_in(anna)
    made = await door.post(
        "complete-registration", {"name": " Розы ", "city": "Астана"}, headers=anna.headers
    )

    assert first.keys() == AUTH_TOKEN
    assert (first["is_new_user"], first["shop_id"], first["token_type"]) == (True, None, "bearer")
    told = made.json()
    assert made.status_code == 201
    assert told.keys() == AUTH_TOKEN
    assert type(told["shop_id"]) is int
    assert (told["shop_name"], told["is_new_user"], told["needs_phone"]) == ("Розы", False, False)
    assert (told["user_role"], told["user_name"]) == (None, None)
    assert made.headers["Cache-Control"] == "no-store"
    claims = tokens.verify(
        told["access_token"],
        door.deps.signing_keys.public,
        audience=AUDIENCE,
        issuer=door.deps.settings.issuer,
        now=datetime.now(UTC),
        typ=tokens.ACCESS,
    )
    assert (claims.kind, claims.tenant) == ("shop", f"shop-{told['shop_id']}")
    assert {"shop:orders", "shop:users"} <= claims.scopes
    assert claims.session
    # Its clients know no refresh, so it lives as long as it always did.
    assert claims.expires_at - datetime.now(UTC) > timedelta(minutes=25)


@pytest.mark.parametrize(
    "body", [{}, {"name": "Р"}, {"name": "x" * 101}, {"name": "Ро\u0000зы"}, {"name": "   Р   "}]
)
async def test_a_shop_needs_a_name(door: Door, body: dict[str, str]) -> None:
    anna = Someone()
    await door.link(anna)
    await door.log_in(anna)

    answer = await door.post("complete-registration", body, headers=anna.headers)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_a_phone_opens_one_shop(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    await door.log_in(anna)

    twice = [
        await door.post("complete-registration", {"name": "Розы"}, headers=anna.headers)
        for _ in range(2)
    ]

    assert [answer.status_code for answer in twice] == [201, 400]
    assert isinstance(twice[1].json()["detail"], str)


async def test_an_ordinary_token_registers_nothing(door: Door) -> None:
    anna = Someone()
    await door.register(anna)

    other = await door.post("complete-registration", {"name": "Ещё"}, headers=anna.headers)
    nothing = await door.post("complete-registration", {"name": "Ещё"})

    assert (other.status_code, nothing.status_code) == (400, 401)
    assert nothing.headers["WWW-Authenticate"] == "Bearer"


async def test_somebody_known_elsewhere_opens_a_shop_of_their_own(door: Door) -> None:
    anna = Someone()
    place = Place(Realm.CRM, "demo")
    opened = await open_account(
        door.deps.identity,
        Person(phone=anna.phone, name="Анна"),
        password=None,
        roles=[Role(place, "ENGINEER")],
        actor="test",
    )

    made = await door.register(anna)

    assert await account_of(door, anna) == opened.account_id
    assert made["shop_id"] is not None
    assert (await door.log_in(anna))["shop_id"] == made["shop_id"]


async def test_a_pending_token_opens_no_other_route(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    anna.headers = bearer(await door.log_in(anna))

    answers = [
        await door.who_is(anna),
        await door.client.get(f"{AUTH}/me", headers=anna.headers),
        await door.post("logout", headers=anna.headers),
    ]

    assert {answer.status_code for answer in answers} == {401}


async def test_the_shop_itself_is_told_with_what_a_new_one_has(door: Door) -> None:
    anna = Someone()
    made = await door.register(anna, "Розы")

    told = (await door.client.get(f"{AUTH}/me", headers=anna.headers)).json()

    assert (told["id"], told["name"], told["phone"]) == (made["shop_id"], "Розы", anna.phone)
    assert (told["currency"], told["timezone"], told["plan"]) == ("KZT", "Asia/Almaty", "basic")
    assert datetime.fromisoformat(told["created_at"]).tzinfo is not None
