"""The shop's service asks for a shop and its staff; from outside there is no such route."""

from collections.abc import AsyncIterator

import pytest

from tests.services.gateway.harness import client_of
from tests.services.gateway.shop_door import Door, projecting


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with projecting(url) as made:
        yield made


async def test_a_directory_has_the_shop_and_its_members_and_no_invited_person(door: Door) -> None:
    anna = await door.admin()
    bella, clara = await door.linked(), await door.linked()
    await door.hire(anna, phone=bella.phone)
    await door.log_in(bella)
    await door.hire(anna, phone=clara.phone)
    shop = (await door.who_is(anna)).json()["shop"]

    async with client_of(door.deps, address="127.0.0.1") as service:
        directory = (await service.get(f"/internal/shops/shop-{shop['id']}")).json()

    assert (directory["name"], directory["phone"]) == (shop["name"], anna.phone)
    members = {one["phone"]: one for one in directory["staff"]}
    assert members.keys() == {anna.phone, bella.phone}
    assert (members[bella.phone]["name"], members[bella.phone]["role"]) == ("Белла", "florist")
    assert members[anna.phone]["number"] == (await door.who_is(anna)).json()["user"]["id"]


async def test_a_shop_that_was_never_registered_has_no_directory(door: Door) -> None:
    async with client_of(door.deps, address="127.0.0.1") as service:
        answer = await service.get("/internal/shops/shop-999999")

    assert (answer.status_code, answer.json()) == (200, None)


async def test_a_stranger_finds_no_such_route(door: Door) -> None:
    answer = await door.client.get("/internal/shops/shop-1")

    assert answer.status_code == 404
