"""Logging in at the shop by a code or from Telegram's Mini App, and attacks (spec shop §2)."""

import asyncio
from typing import Any

import pytest

from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.administration.handlers import administration
from tests.services.gateway.bot_api import open_bot_api
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.harness import bearer
from tests.services.gateway.shop_door import AUTH, AUTH_TOKEN, Door, Someone, open_door


async def works_at(door: Door, who: Someone, shop_id: int, role: str) -> None:
    """Grant a role in a shop."""
    account_id = await door.account_of(who)
    where = Role(workspace_of_shop(f"shop-{shop_id}"), role)
    await administration.grant_role(door.deps.identity, account_id, where, actor="test")


async def test_after_a_registration_logins_enter_the_same_shop(door: Door) -> None:
    anna, made = await door.registered("Розы")

    again = await door.log_in(anna)
    # The token says which shop, whatever the header claims.
    anna.headers["X-Shop-Phone"] = "+77770000000"
    answer = await door.who_is(anna)

    assert (again["shop_id"], again["shop_name"]) == (made["shop_id"], "Розы")
    assert again["is_new_user"] is False
    keys = ("orders", "warehouse", "customers", "production", "settings", "users")
    body = answer.json()
    assert answer.status_code == 200
    assert type(body["user"].pop("id")) is int
    assert body == {
        "user": {
            "name": "Администратор",
            "phone": anna.phone,
            "email": None,
            "role": "admin",
            "permissions": dict.fromkeys(keys, True),
            "is_active": True,
            "telegram_id": str(anna.telegram_id),
        },
        "shop": {
            "id": made["shop_id"],
            "name": "Розы",
            "phone": anna.phone,
            "city": "Алматы",
            "address": None,
        },
    }


@pytest.mark.parametrize(
    "path", ["verify-otp", "complete-registration", "telegram-login", "florist-login", "logout"]
)
async def test_both_spellings_of_a_path_are_answered_directly(door: Door, path: str) -> None:
    answers = [await door.post(path + slash, {}) for slash in ("", "/")]

    assert answers[0].status_code == answers[1].status_code
    assert answers[0].status_code in {400, 401, 422}


async def test_a_member_of_two_shops_enters_the_one_with_the_higher_role(door: Door) -> None:
    (_, first), (bella, second) = await door.registered(), await door.registered()
    await works_at(door, bella, first["shop_id"], "courier")

    assert (await door.log_in(bella))["shop_id"] == second["shop_id"]


async def test_a_deactivated_member_cannot_enter_the_shop(door: Door) -> None:
    anna, made = await door.registered()
    await works_at(door, anna, made["shop_id"], "manager off")

    seen = await door.who_is(anna)
    answer = await door.log_in(anna)

    assert seen.status_code in {401, 403}
    # They may open another one.
    assert (answer["is_new_user"], answer["shop_id"]) == (True, None)


async def test_a_deactivated_account_is_refused_with_the_reason_after_its_code(door: Door) -> None:
    anna, _ = await door.registered()
    account_id = await door.account_of(anna)
    await administration.deactivate(door.deps.identity, account_id, reason="test", actor="test")

    answer = await door.show(anna, await door.code(anna))

    assert answer.status_code == 403
    assert isinstance(answer.json()["detail"], str)
    assert (await door.refusals())[-1].reason == "deactivated"


async def test_a_logout_ends_the_session(door: Door) -> None:
    anna, _ = await door.registered()
    other = dict(anna.headers)
    await door.log_in(anna)

    out = await door.post("logout", headers=anna.headers)
    after = await door.who_is(anna)
    again = await door.post("logout", headers=anna.headers)

    assert (out.status_code, out.content) == (204, b"")
    assert (after.status_code, again.status_code) == (401, 401)
    assert after.headers["WWW-Authenticate"] == "Bearer"
    # The other login is another session.
    anna.headers = other
    assert (await door.who_is(anna)).status_code == 200


async def test_a_new_telegram_account_of_a_phone_is_known_from_then_on(door: Door) -> None:
    anna, _ = await door.registered()
    anna.telegram_id += 500_000
    await door.link(anna)

    await door.log_in(anna)

    assert (await door.who_is(anna)).json()["user"]["telegram_id"] == str(anna.telegram_id)
    owner = await door.deps.code_context.owner_of_phone(anna.phone)
    assert owner.telegram_id == anna.telegram_id


@pytest.mark.parametrize("path", [f"{AUTH}/current-user", f"{AUTH}/me", "/api/users/"])
async def test_without_a_token_nothing_is_revealed(door: Door, path: str) -> None:
    answer = await door.client.get(path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert isinstance(answer.json()["detail"], str)


async def test_what_must_not_exist_does_not(door: Door) -> None:
    answers = [
        await door.client.get(f"{AUTH}/redis-test"),
        await door.post("debug/register-telegram", {"phone": some_phone(), "telegram_id": 1}),
        await door.client.get("/debug/env"),
    ]

    assert {answer.status_code for answer in answers} == {404}


LOGINS = ("telegram-login", "florist-login")


def app_body(who: Someone, **different: Any) -> dict[str, Any]:
    """What the app sends."""
    return {"initData": who.init_data(), "phoneNumber": who.phone, **different}


async def test_the_app_logs_in_a_user_with_a_proved_phone(door: Door) -> None:
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
    async with open_bot_api() as api, open_door(url, api, telegram_age_seconds=60) as door:
        anna, _ = await door.registered()
        old = await door.post("telegram-login", app_body(anna, initData=anna.init_data(age=120)))
        new = await door.post("telegram-login", app_body(anna))

    assert (old.status_code, new.status_code) == (401, 200)


async def test_an_unlinked_user_must_give_a_phone(door: Door) -> None:
    for body in ({}, {"phoneNumber": "no phone"}):
        answer = await door.post("telegram-login", {"initData": Someone().init_data(), **body})
        assert answer.status_code == 400


async def test_a_shop_is_registered_from_the_app_with_a_proved_phone(door: Door) -> None:
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
    async with open_bot_api() as api, open_door(url, api, telegram_token=None) as door:
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
