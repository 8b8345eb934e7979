"""An article belongs to one product of a shop."""

import asyncio

from tests.services.shop.kit import ShopKit
from tests.services.shop.products.catalogue import BOUQUET, add


async def test_an_article_belongs_to_one_product_of_a_shop_until_that_gives_it_up(
    shop: ShopKit,
) -> None:
    async with shop.staff() as staff, shop.staff(number=8) as other:
        first = await add(staff, article=50)
        second = await add(staff, article=51)
        path = f"/api/products/{second['id']}"
        taken = [
            await staff.post("/api/products/", json=BOUQUET | {"article": 50}),
            await staff.put(path, json={"article": 50}),
        ]
        same = await staff.put(path, json={"article": 51, "name": "B"})
        await add(other, article=50)
        await staff.put(f"/api/products/{first['id']}", json={"article": None})
        moved = await staff.put(path, json={"article": 50})
        freed = await add(staff, article=51)
        await staff.delete(path)
        again = await staff.post("/api/products/", json=BOUQUET | {"article": 50})

    assert [answer.status_code for answer in taken] == [409, 409]
    assert isinstance(taken[0].json()["detail"], str)
    assert (same.status_code, moved.status_code, again.status_code) == (200, 200, 201)
    assert (moved.json()["article"], freed["article"]) == (50, 51)


async def test_of_many_that_want_an_article_at_once_one_gets_it(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        numbers = [(await add(staff, article=60 + n))["id"] for n in range(5)]
        added = [staff.post("/api/products/", json=BOUQUET | {"article": 50}) for _ in range(5)]
        changed = [staff.put(f"/api/products/{n}", json={"article": 50}) for n in numbers]
        answers = await asyncio.gather(*added, *changed)
        listed = (await staff.get("/api/products/")).json()["items"]

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] in (200, 201)
    assert statuses[1:] == [409] * 9
    assert [one["article"] for one in listed].count(50) == 1


async def test_a_product_that_two_give_another_article_has_the_last_one_only(
    shop: ShopKit,
) -> None:
    async with shop.staff() as staff:
        number = (await add(staff, article=50))["id"]
        path = f"/api/products/{number}"
        changes = [staff.put(path, json={"article": 51 + n}) for n in range(6)]
        answers = await asyncio.gather(*changes)
        left = (await staff.get(path)).json()["article"]
        others = [
            await staff.post("/api/products/", json=BOUQUET | {"article": 50 + n}) for n in range(7)
        ]

    assert {answer.status_code for answer in answers} == {200}
    statuses = {50 + n: answer.status_code for n, answer in enumerate(others)}
    assert statuses == {**dict.fromkeys(statuses, 201), left: 409}
