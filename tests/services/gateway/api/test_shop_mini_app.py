"""Logging in at the shop from Telegram's Mini App, and attacks on it (spec shop §2.1, §2.4)."""

import asyncio
from typing import Any

import pytest

from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.inside import bearer
from tests.services.gateway.api.shop_door import AUTH_TOKEN, Door, Someone, opened
from tests.services.gateway.code_desk import some_phone

LOGINS = ("telegram-login", "florist-login")


def app_body(who: Someone, **different: Any) -> dict[str, Any]:
    """What the app sends."""
    return {"initData": who.init_data(), "phoneNumber": who.phone, **different}


async def test_the_app_logs_in_whose_phone_is_proved(door: Door) -> None:
    anna, made = await door.registered()

    answer = await door.post("telegram-login", app_body(anna))

    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == AUTH_TOKEN
    assert (body["shop_id"], body["user_role"]) == (made["shop_id"], None)
    assert answer.headers["Cache-Control"] == "no-store"
    anna.headers = bearer(body["access_token"])
    assert (await door.who_is(anna)).status_code == 200
    # Without a phone it is the one that was shared.
    for phone in (None, ""):
        answer = await door.post("telegram-login", app_body(anna, phoneNumber=phone))
        assert (answer.status_code, answer.json()["shop_id"]) == (200, made["shop_id"])


async def test_only_florists_log_in_as_such(door: Door) -> None:
    anna, made = await door.registered()
    bella, off = [await door.works_at(made["shop_id"], one) for one in ("florist", "florist off")]

    answer = await door.post("florist-login", app_body(bella))

    body = answer.json()
    assert answer.status_code == 200
    assert (body["user_role"], body["user_name"]) == ("florist", "Белла")
    assert body["shop_id"] == made["shop_id"]
    # Whoever is none goes on to the other login with the same init data.
    same = app_body(anna)
    assert [(await door.post(path, same)).status_code for path in reversed(LOGINS)] == [404, 200]
    # Whoever is switched off is none.
    assert [(await door.post(path, app_body(off))).status_code for path in LOGINS] == [404, 404]


@pytest.mark.parametrize("path", LOGINS)
async def test_init_data_logs_in_once(door: Door, path: str) -> None:
    _, made = await door.registered()
    body = app_body(await door.works_at(made["shop_id"]))

    answers = await asyncio.gather(*(door.post(path, body) for _ in range(4)))
    other = await door.post("telegram-login", body)

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert other.status_code == 401
    assert "InitDataUsed" in {one.reason for one in await door.refusals()}


@pytest.mark.parametrize("path", [*LOGINS, "telegram-register"])
@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 400),
        ("", 400),
        ("hash=1", 400),
        ("%ff", 400),
        ({"token": "1:another"}, 401),
        ({"age": 100_000}, 401),
        ({"age": -1000}, 401),
    ],
)
async def test_bad_init_data_is_refused(door: Door, path: str, shown: Any, status: int) -> None:
    phone = some_phone()
    body = {"phone": phone, "phoneNumber": phone, "shop_name": "Розы"}
    if shown is not None:
        init_data = shown if isinstance(shown, str) else Someone().init_data(**shown)
        body |= {"initData": init_data}

    answer = await door.post(path, body)

    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


async def test_how_old_init_data_may_be_is_a_setting(url: str) -> None:
    async with open_bot_api() as api, opened(url, api, telegram_age_seconds=60) as door:
        anna, _ = await door.registered()
        old = await door.post("telegram-login", app_body(anna, initData=anna.init_data(age=120)))
        new = await door.post("telegram-login", app_body(anna))

    assert (old.status_code, new.status_code) == (401, 200)


async def test_a_stranger_must_say_which_phone(door: Door) -> None:
    for body in ({}, {"phoneNumber": "no phone"}):
        answer = await door.post("telegram-login", {"initData": Someone().init_data(), **body})
        assert answer.status_code == 400


async def test_a_shop_is_registered_from_the_app_by_who_proves_the_phone(door: Door) -> None:
    anna = await door.linked()
    body = {"telegram_id": str(anna.telegram_id), "phone": anna.phone, "shop_name": "Розы"}

    made, again = [
        await door.post("telegram-register", body | {"initData": anna.init_data()})
        for _ in range(2)
    ]
    after = await door.post("telegram-login", app_body(anna))

    assert (made.status_code, made.json()["is_new_user"]) == (201, True)
    assert again.status_code == 400
    assert after.json()["shop_id"] == made.json()["shop_id"]


async def test_without_a_bot_there_are_no_logins_from_the_app(url: str) -> None:
    async with open_bot_api() as api, opened(url, api, telegram_token=None) as door:
        answer = await door.post("telegram-login", app_body(Someone()))

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_another_account_neither_takes_a_shop_nor_learns_of_one(door: Door) -> None:
    (anna, _), thief = await door.registered(), await door.linked()

    for path in LOGINS:
        known, unknown = [
            await door.post(path, app_body(thief, phoneNumber=phone))
            for phone in (anna.phone, some_phone())
        ]
        assert (known.status_code, known.text) == (401, unknown.text)
        assert sorted(known.headers) == sorted(unknown.headers)
    body = {"initData": thief.init_data(), "phone": some_phone(), "shop_name": "Моё"}
    registered = await door.post("telegram-register", {**body, "telegram_id": anna.telegram_id})
    assert registered.status_code == 401
