"""What the staff of a shop may do, and who decides it (spec shop §2.5, §10 S13)."""

import asyncio
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


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with projecting(url) as made:
        yield made


@pytest.fixture
async def anna(door: Door) -> Someone:
    return await an_admin(door)


async def test_another_role_comes_with_its_permissions_and_ends_the_sessions(
    door: Door, anna: Someone
) -> None:
    bella, number = await hired(door, anna)
    # So that the session is known to the lists.
    await hire(door, anna)

    answer = await change(door, anna, number, {"role": "manager"})

    assert answer.json()["role"] == "manager"
    assert answer.json()["permissions"]["warehouse"] is True
    assert (await door.who_is(bella)).status_code == 401


@pytest.mark.parametrize("wrapped", [True, False])
async def test_permissions_are_given_and_taken_bare_or_wrapped(
    door: Door, anna: Someone, wrapped: bool
) -> None:
    bella, number = await hired(door, anna)
    said = {"customers": True, "production": False}

    body = {"permissions": said} if wrapped else said
    answer = await change(door, anna, number, body, "/permissions")
    await door.log_in(bella)

    held = {key for key, may in answer.json()["permissions"].items() if may}
    assert (answer.status_code, held) == (200, {"orders", "customers"})
    assert (await door.who_is(bella)).json()["user"]["permissions"] == answer.json()["permissions"]


@pytest.mark.parametrize("said", [{"money": True}, {"orders": "yes"}, {"permissions": None}, []])
async def test_permissions_that_do_not_exist_are_refused(
    door: Door, anna: Someone, said: object
) -> None:
    _, number = await hired(door, anna)

    answer = await change(door, anna, number, said, "/permissions")

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_an_admin_is_not_switched_off_nor_told_what_they_may(
    door: Door, anna: Someone
) -> None:
    _, number = await hired(door, anna, "admin")

    off = await door.client.delete(f"{USERS}/{number}", headers=anna.headers)
    less = await change(door, anna, number, {"users": False}, "/permissions")

    assert (off.status_code, less.status_code) == (400, 400)


async def test_nobody_makes_more_of_themselves(door: Door, anna: Someone) -> None:
    bella, number = await hired(door, anna)
    await change(door, anna, number, {"users": True}, "/permissions")
    await door.log_in(bella)

    asked = [
        await change(door, bella, number, {"role": "admin"}),
        await change(door, bella, number, {"settings": True}, "/permissions"),
        await hire(door, bella, "admin"),
        await hire(door, bella, "manager"),
        await change(door, bella, await me(door, anna), {"role": "courier"}),
        await change(door, bella, await me(door, anna), {"name": "Никто"}),
    ]
    allowed = await hire(door, bella, "courier")

    assert {answer.status_code for answer in asked} == {403}
    assert allowed.status_code == 200
    assert (await listed(door, anna))[anna.phone]["role"] == "admin"


@pytest.mark.parametrize("body", [{"role": "florist"}, {"is_active": False}])
async def test_an_admin_does_not_change_what_they_themselves_are(
    door: Door, anna: Someone, body: dict[str, Any]
) -> None:
    number = await me(door, anna)

    assert (await change(door, anna, number, body)).status_code == 403
    # A form may send what is so already.
    same = await change(door, anna, number, {"role": "admin", "name": "Анна", "email": ""})
    assert (same.status_code, same.json()["name"]) == (200, "Анна")


async def test_of_two_admins_who_take_each_other_out_one_remains(door: Door, anna: Someone) -> None:
    bella, number = await hired(door, anna, "admin")
    own = await me(door, anna)
    await known(door, bella)

    answers = await asyncio.gather(
        change(door, anna, number, {"role": "florist"}),
        change(door, bella, own, {"role": "florist"}),
    )

    assert sorted(answer.status_code for answer in answers) in ([200, 400], [200, 401])


@pytest.mark.parametrize("role", ["manager", "florist", "courier"])
async def test_whoever_may_not_manage_users_does_not_see_them(
    door: Door, anna: Someone, role: str
) -> None:
    bella, number = await hired(door, anna, role)

    answers = [
        await door.client.get(f"{USERS}/", headers=bella.headers),
        await hire(door, bella),
        await change(door, bella, number, {"role": "admin"}),
        await change(door, bella, number, {"users": True}, "/permissions"),
        await door.client.delete(f"{USERS}/{number}", headers=bella.headers),
    ]

    assert {answer.status_code for answer in answers} == {403}
