"""Logging in at the shop from Telegram's Mini App (spec shop §2.1, §2.4)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.domain.person import Person
from services.gateway.domain.realm import Role
from services.gateway.domain.shop import place_of
from services.gateway.handlers.account import open_account
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import AUTH_TOKEN, Door, Someone, bearer, opened

LOGINS = ("telegram-login", "florist-login")


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with open_bot_api() as api, opened(url, api) as made:
        yield made


async def a_florist(door: Door, shop_id: int, role: str = "florist") -> Someone:
    """Somebody of the shop who has shared their contact."""
    bella = Someone()
    await open_account(
        door.deps.identity,
        Person(phone=bella.phone, name="Белла"),
        password=None,
        roles=[Role(place_of(f"shop-{shop_id}"), role)],
        actor="test",
    )
    await door.link(bella)
    return bella


def said(who: Someone, **different: Any) -> dict[str, Any]:
    """What the app sends."""
    return {"initData": who.init_data(), "phoneNumber": who.phone, **different}


async def test_the_app_logs_in_whose_phone_is_proved(door: Door) -> None:
    anna = Someone()
    made = await door.register(anna)

    answer = await door.post("telegram-login", said(anna))

    told = answer.json()
    assert answer.status_code == 200
    assert told.keys() == AUTH_TOKEN
    assert (told["shop_id"], told["user_role"]) == (made["shop_id"], None)
    assert answer.headers["Cache-Control"] == "no-store"
    anna.headers = bearer(told)
    assert (await door.who_is(anna)).status_code == 200


@pytest.mark.parametrize("body", [{"phoneNumber": None}, {"phoneNumber": ""}])
async def test_without_a_phone_it_is_the_one_that_was_shared(
    door: Door, body: dict[str, Any]
) -> None:
    anna = Someone()
    made = await door.register(anna)

    answer = await door.post("telegram-login", said(anna, **body))

    assert (answer.status_code, answer.json()["shop_id"]) == (200, made["shop_id"])


async def test_a_florist_is_told_who_they_are(door: Door) -> None:
    made = await door.register(Someone())
    bella = await a_florist(door, made["shop_id"])

    answer = await door.post("florist-login", said(bella))

    told = answer.json()
    assert answer.status_code == 200
    assert (told["user_role"], told["user_name"]) == ("florist", "Белла")
    assert told["shop_id"] == made["shop_id"]


async def test_whoever_is_no_florist_goes_on_to_the_other_login_with_the_same_init_data(
    door: Door,
) -> None:
    anna = Someone()
    await door.register(anna)
    body = said(anna)

    first = await door.post("florist-login", body)
    second = await door.post("telegram-login", body)

    assert (first.status_code, second.status_code) == (404, 200)


async def test_a_florist_who_is_switched_off_is_none(door: Door) -> None:
    made = await door.register(Someone())
    bella = await a_florist(door, made["shop_id"], "florist off")

    answers = [await door.post(path, said(bella)) for path in LOGINS]

    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize("path", LOGINS)
async def test_init_data_logs_in_once(door: Door, path: str) -> None:
    made = await door.register(Someone())
    bella = await a_florist(door, made["shop_id"])
    body = said(bella)

    answers = await asyncio.gather(*(door.post(path, body) for _ in range(4)))
    other = await door.post("telegram-login", body)

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert other.status_code == 401
    assert "InitDataUsed" in {one.reason for one in await door.refusals()}


@pytest.mark.parametrize("path", [*LOGINS, "telegram-register"])
@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({}, 400),
        ({"initData": ""}, 400),
        ({"initData": "hash=1"}, 400),
        ({"initData": "%ff"}, 400),
        ({"initData": Someone().init_data(token="1:another")}, 401),
        ({"initData": Someone().init_data(age=100_000)}, 401),
        ({"initData": Someone().init_data(age=-1000)}, 401),
    ],
)
async def test_bad_init_data_is_refused_as_the_app_expects(
    door: Door, path: str, wrong: dict[str, Any], status: int
) -> None:
    anna = Someone()
    body = {"phone": anna.phone, "phoneNumber": anna.phone, "shop_name": "Розы", **wrong}

    answer = await door.post(path, body)

    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


async def test_how_old_init_data_may_be_is_a_setting(url: str) -> None:
    anna = Someone()
    async with open_bot_api() as api, opened(url, api, telegram_age_seconds=60) as door:
        await door.register(anna)
        old = await door.post("telegram-login", said(anna, initData=anna.init_data(age=120)))
        new = await door.post("telegram-login", said(anna))

    assert (old.status_code, new.status_code) == (401, 200)


async def test_a_stranger_must_say_which_phone(door: Door) -> None:
    for body in ({}, {"phoneNumber": "no phone"}):
        answer = await door.post("telegram-login", {"initData": Someone().init_data(), **body})
        assert answer.status_code == 400


async def test_a_shop_is_registered_from_the_app_by_who_proves_the_phone(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    body = {
        "telegram_id": str(anna.telegram_id),
        "phone": anna.phone,
        "shop_name": "Розы",
        "initData": anna.init_data(),
    }

    made = await door.post("telegram-register", body)
    again = await door.post("telegram-register", {**body, "initData": anna.init_data()})
    after = await door.post("telegram-login", said(anna))

    assert (made.status_code, made.json()["is_new_user"]) == (201, True)
    assert again.status_code == 400
    assert after.json()["shop_id"] == made.json()["shop_id"]


async def test_without_a_bot_there_are_no_logins_from_the_app(url: str) -> None:
    async with open_bot_api() as api, opened(url, api, telegram_token=None) as door:
        answer = await door.post("telegram-login", said(Someone()))

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
