"""A shop's staff, as its admin's pages manage them (spec shop §4.7)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.services.gateway.api.shop_door import Door, Someone
from tests.services.gateway.api.shop_staff import (
    USERS,
    an_admin,
    change,
    hire,
    hired,
    known,
    listed,
    me,
    projecting,
)
from tests.services.gateway.code_desk import some_phone

USER = {
    "id",
    "shop_id",
    "phone",
    "name",
    "email",
    "role",
    "is_active",
    "telegram_id",
    "permissions",
    "created_at",
    "updated_at",
}


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with projecting(url) as made:
        yield made


@pytest.fixture
async def anna(door: Door) -> Someone:
    return await an_admin(door)


async def test_whoever_is_taken_on_is_listed_and_can_log_in_at_once(
    door: Door, anna: Someone
) -> None:
    phone = some_phone()

    answer = await hire(door, anna, phone=phone, email="bella@shop.example", telegram_id=4242)
    seen = (await listed(door, anna))[phone]

    told = answer.json()
    assert answer.status_code == 200
    assert told.keys() == USER
    assert told == seen
    assert (told["name"], told["role"], told["is_active"]) == ("Белла", "florist", True)
    assert (told["email"], told["telegram_id"]) == ("bella@shop.example", "4242")
    assert told["permissions"]["orders"] is True
    assert told["permissions"]["users"] is False


async def test_staff_log_in_by_their_own_phone(door: Door, anna: Someone) -> None:
    bella, _ = await hired(door, anna)

    told = (await door.who_is(bella)).json()

    assert (told["user"]["name"], told["user"]["role"]) == ("Белла", "florist")
    assert told["shop"]["phone"] == anna.phone


@pytest.mark.parametrize("email", ["", None])
async def test_an_empty_address_is_none(door: Door, anna: Someone, email: str | None) -> None:
    answer = await hire(door, anna, email=email)

    assert (answer.status_code, answer.json()["email"]) == (200, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone": "8 701 123 45 67"},
        {"name": ""},
        {"name": "x" * 101},
        {"role": "owner"},
        {"role": "florist off"},
        {"email": "nobody"},
        {"telegram_id": "me"},
    ],
)
async def test_what_cannot_be_taken_on_is_a_text_the_page_can_show(
    door: Door, anna: Someone, wrong: dict[str, Any]
) -> None:
    answer = await hire(door, anna, **wrong)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_a_phone_and_an_address_are_somebodys_once_in_a_shop(
    door: Door, anna: Someone
) -> None:
    phone = some_phone()
    await hire(door, anna, phone=phone, email="Bella@shop.example")

    again = [
        await hire(door, anna, phone=phone),
        await hire(door, anna, phone=anna.phone),
        await hire(door, anna, email="bella@shop.example"),
    ]

    assert {answer.status_code for answer in again} == {400}
    assert {type(answer.json()["detail"]) for answer in again} == {str}


async def test_another_shop_may_have_the_same_person_and_calls_them_what_it_likes(
    door: Door, anna: Someone
) -> None:
    other = Someone()
    await door.register(other)
    bella = Someone()

    first = await hire(door, anna, phone=bella.phone, name="Белла", email="bella@shop.example")
    second = await hire(door, other, phone=bella.phone, name="Изабелла")

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] == second.json()["id"]
    # What one shop wrote of her the other does not see.
    assert (second.json()["name"], second.json()["email"]) == ("Изабелла", None)
    assert (await listed(door, anna))[bella.phone]["name"] == "Белла"


async def test_a_shop_cannot_send_somebodys_codes_elsewhere(door: Door, anna: Someone) -> None:
    thief = Someone()
    await door.register(thief)
    bella, _ = await hired(door, anna)
    body = {"phone": bella.phone, "name": "x", "role": "courier", "telegram_id": thief.telegram_id}
    number = (await door.client.post(f"{USERS}/", json=body, headers=thief.headers)).json()["id"]
    await change(door, thief, number, {"telegram_id": thief.telegram_id})

    stolen = await door.post(
        "florist-login", {"initData": thief.init_data(), "phoneNumber": bella.phone}
    )
    await door.code(bella)

    assert stolen.status_code == 401
    assert door.api.messages[-1]["chat_id"] == bella.telegram_id


async def test_the_list_is_searched_filtered_and_paged(door: Door, anna: Someone) -> None:
    one, two = some_phone(), some_phone()
    await hire(door, anna, phone=one, name="Белла")
    await hire(door, anna, "courier", phone=two, name="Вера", is_active=False)

    assert (await listed(door, anna, search="бел")).keys() == {one}
    assert (await listed(door, anna, search=two[3:])).keys() == {two}
    assert (await listed(door, anna, role="courier")).keys() == {two}
    assert (await listed(door, anna, is_active="false")).keys() == {two}
    page = await door.client.get(f"{USERS}?skip=1&limit=1", headers=anna.headers)
    assert (len(page.json()["items"]), page.json()["total"]) == (1, 3)
    over = await door.client.get(f"{USERS}?limit=101", headers=anna.headers)
    assert over.status_code == 422


async def test_whoever_is_switched_off_stays_listed_and_is_out(door: Door, anna: Someone) -> None:
    bella, number = await hired(door, anna)

    off = await door.client.delete(f"{USERS}/{number}", headers=anna.headers)
    seen = await door.who_is(bella)
    again = await change(door, anna, number, {"is_active": True})
    told = await door.log_in(bella)

    assert (off.status_code, off.json()["is_active"]) == (200, False)
    assert seen.status_code in {401, 403}
    assert again.json()["is_active"] is True
    assert told["shop_id"] == again.json()["shop_id"]


async def test_another_shops_people_do_not_exist(door: Door, anna: Someone) -> None:
    other = Someone()
    await door.register(other)
    await known(door, other)
    number = await me(door, other)

    answers = [
        await door.client.get(f"{USERS}/{number}", headers=anna.headers),
        await change(door, anna, number, {"name": "Никто"}),
        await change(door, anna, number, {"orders": False}, "/permissions"),
        await door.client.delete(f"{USERS}/{number}", headers=anna.headers),
        await door.client.get(f"{USERS}/{2**70}", headers=anna.headers),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert other.phone not in await listed(door, anna)


async def test_without_a_token_nobody_is_listed(door: Door) -> None:
    answer = await door.client.get(f"{USERS}/")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
