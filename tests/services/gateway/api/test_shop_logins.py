"""Logging in at the shop by a code, and who one then is (spec shop §2)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.gateway import AccountId
from services.gateway.domain import person as people
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Role
from services.gateway.domain.shop import place_of
from services.gateway.handlers import administration
from services.gateway.handlers.account import open_account
from services.gateway.handlers.address import find
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import AUTH, Door, Someone, opened


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with open_bot_api() as api, opened(url, api) as made:
        yield made


async def account_of(door: Door, who: Someone) -> AccountId:
    found = await find(door.deps.identity, people.phone(who.phone))
    assert found is not None
    return found


async def works_at(door: Door, who: Someone, tenant: str, role: str) -> None:
    await administration.grant_role(
        door.deps.identity,
        await account_of(door, who),
        Role(place_of(tenant), role),
        actor="test",
    )


async def test_whoever_registered_logs_in_to_the_same_shop(door: Door) -> None:
    anna = Someone()
    made = await door.register(anna, "Розы")

    again = await door.log_in(anna)

    assert (again["shop_id"], again["shop_name"]) == (made["shop_id"], "Розы")
    assert again["is_new_user"] is False


async def test_the_page_asks_who_is_logged_in(door: Door) -> None:
    anna = Someone()
    made = await door.register(anna, "Розы")

    answer = await door.who_is(anna)

    keys = ("orders", "warehouse", "customers", "production", "settings", "users")
    told = answer.json()
    assert answer.status_code == 200
    assert type(told["user"].pop("id")) is int
    assert told == {
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


async def test_a_wrong_code_costs_a_try_and_says_how_many_are_left(door: Door) -> None:
    anna = Someone()
    await door.link(anna)
    right = await door.code(anna)
    wrong = f"{(int(right) + 1) % 1_000_000:06}"

    answers = [await door.show(anna, wrong) for _ in range(6)]
    late = await door.show(anna, right)

    assert {answer.status_code for answer in (*answers, late)} == {400}
    assert "Invalid OTP" in answers[0].json()["detail"]
    assert "4" in answers[0].json()["detail"]
    assert "Too many attempts" in answers[-1].json()["detail"]
    assert "Too many attempts" in late.json()["detail"]
    assert right not in "".join(answer.text for answer in answers)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"phone": "+77011234567"},
        {"phone": "+77011234567", "otp_code": "12345"},
        {"phone": "+77011234567", "otp_code": "١٢٣٤٥٦"},
        {"phone": "+77011234567", "otp_code": 123456},
        {"phone": "8 701 123 45 67", "otp_code": "123456"},
    ],
)
async def test_what_is_no_code_is_a_422_that_the_page_can_show(
    door: Door, sent: dict[str, Any]
) -> None:
    answer = await door.post("verify-otp", sent)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert isinstance(answer.json()["errors"], list)
    assert "123456" not in answer.text


async def test_staff_log_in_to_the_shop_they_work_in(door: Door) -> None:
    anna, bella = Someone(), Someone()
    made = await door.register(anna)
    tenant = f"shop-{made['shop_id']}"
    await open_account(
        door.deps.identity,
        Person(phone=bella.phone, name="Белла"),
        password=None,
        roles=[Role(place_of(tenant), "florist")],
        actor="test",
    )
    await door.link(bella)

    told = await door.log_in(bella)
    who = (await door.who_is(bella)).json()["user"]

    assert (told["shop_id"], told["is_new_user"]) == (made["shop_id"], False)
    assert (who["name"], who["role"]) == ("Белла", "florist")
    assert [key for key, may in who["permissions"].items() if may] == ["orders", "production"]


async def test_whoever_works_in_two_shops_enters_where_they_may_do_the_most(door: Door) -> None:
    anna, bella = Someone(), Someone()
    first, second = await door.register(anna), await door.register(bella)
    await works_at(door, bella, f"shop-{first['shop_id']}", "courier")

    told = await door.log_in(bella)

    assert told["shop_id"] == second["shop_id"]


async def test_whoever_is_switched_off_in_a_shop_does_not_enter_it(door: Door) -> None:
    anna = Someone()
    made = await door.register(anna)
    await works_at(door, anna, f"shop-{made['shop_id']}", "manager off")

    seen = await door.who_is(anna)
    told = await door.log_in(anna)

    assert seen.status_code in {401, 403}
    # They may open another one.
    assert (told["is_new_user"], told["shop_id"]) == (True, None)


async def test_a_deactivated_account_is_told_so_after_its_code(door: Door) -> None:
    anna = Someone()
    await door.register(anna)
    account_id = await account_of(door, anna)
    await administration.deactivate(door.deps.identity, account_id, reason="test", actor="test")

    answer = await door.show(anna, await door.code(anna))

    assert answer.status_code == 403
    assert isinstance(answer.json()["detail"], str)
    assert (await door.refusals())[-1].reason == "deactivated"


async def test_whoever_logs_out_is_out(door: Door) -> None:
    anna = Someone()
    await door.register(anna)
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
    anna = Someone()
    await door.register(anna)
    anna.telegram_id += 500_000
    await door.link(anna)

    await door.log_in(anna)

    assert (await door.who_is(anna)).json()["user"]["telegram_id"] == str(anna.telegram_id)
    owner = await door.deps.code_desk.who_has(anna.phone)
    assert owner.telegram_id == anna.telegram_id


async def test_a_refused_code_is_recorded_without_the_code_or_the_phone(door: Door) -> None:
    anna = Someone()
    await door.register(anna)
    account_id = await account_of(door, anna)

    await door.show(anna, "000000")

    (refused,) = [one for one in await door.refusals() if one.account_id == account_id]
    assert (refused.realm, refused.reason) == ("shop", "code")
    assert refused.digest == door.deps.identity.seal.digest("phone", anna.phone)


@pytest.mark.parametrize("path", ["current-user", "me"])
async def test_nobody_is_told_anything_without_a_token(door: Door, path: str) -> None:
    answer = await door.client.get(f"{AUTH}/{path}")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert isinstance(answer.json()["detail"], str)
