"""Who one is at the shop after a login by a code (spec shop §2).

Codes are in `test_one_time_code`, the Mini App's logins in `test_shop_mini_app`.
"""

import pytest

from services.gateway.domain.realm import Role
from services.gateway.domain.shop import place_of
from services.gateway.handlers import administration
from tests.services.gateway.api.shop_door import AUTH, Door, Someone
from tests.services.gateway.code_desk import some_phone


async def works_at(door: Door, who: Someone, shop_id: int, role: str) -> None:
    """Give somebody a role in a shop."""
    account_id = await door.account_of(who)
    where = Role(place_of(f"shop-{shop_id}"), role)
    await administration.grant_role(door.deps.identity, account_id, where, actor="test")


async def test_whoever_registered_logs_in_to_the_same_shop(door: Door) -> None:
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


async def test_staff_log_in_to_the_shop_they_work_in(door: Door) -> None:
    _, made = await door.registered()
    bella = await door.works_at(made["shop_id"])

    answer = await door.log_in(bella)
    who = (await door.who_is(bella)).json()["user"]

    assert (answer["shop_id"], answer["is_new_user"]) == (made["shop_id"], False)
    assert (who["name"], who["role"]) == ("Белла", "florist")
    assert [key for key, may in who["permissions"].items() if may] == ["orders", "production"]


async def test_whoever_works_in_two_shops_enters_where_they_may_do_the_most(door: Door) -> None:
    (_, first), (bella, second) = await door.registered(), await door.registered()
    await works_at(door, bella, first["shop_id"], "courier")

    assert (await door.log_in(bella))["shop_id"] == second["shop_id"]


async def test_whoever_is_switched_off_in_a_shop_does_not_enter_it(door: Door) -> None:
    anna, made = await door.registered()
    await works_at(door, anna, made["shop_id"], "manager off")

    seen = await door.who_is(anna)
    answer = await door.log_in(anna)

    assert seen.status_code in {401, 403}
    # They may open another one.
    assert (answer["is_new_user"], answer["shop_id"]) == (True, None)


async def test_a_deactivated_account_is_told_so_after_its_code(door: Door) -> None:
    anna, _ = await door.registered()
    account_id = await door.account_of(anna)
    await administration.deactivate(door.deps.identity, account_id, reason="test", actor="test")

    answer = await door.show(anna, await door.code(anna))

    assert answer.status_code == 403
    assert isinstance(answer.json()["detail"], str)
    assert (await door.refusals())[-1].reason == "deactivated"


async def test_whoever_logs_out_is_out(door: Door) -> None:
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
    owner = await door.deps.code_desk.who_has(anna.phone)
    assert owner.telegram_id == anna.telegram_id


@pytest.mark.parametrize("path", [f"{AUTH}/current-user", f"{AUTH}/me", "/api/users/"])
async def test_nobody_is_told_anything_without_a_token(door: Door, path: str) -> None:
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
