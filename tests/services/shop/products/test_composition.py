"""Ingredients and components of products (spec shop §4.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from libs.postgres.pool import Pool
from libs.process.service import make_app
from libs.testing.callers import bearer, client_of
from services.shop.context import Hooks
from services.shop.products import handlers
from services.shop.products.domain import Sales, StockedItem
from tests.services.shop.kit import PERMISSIONS, TENANT, ShopKit
from tests.services.shop.products.catalogue import add
from tests.services.shop.stock.warehouse import create

ROSE = StockedItem(
    variety="Red Naomi",
    height_cm=60,
    supplier="Флора",
    farm="Esmeralda",
    available_qty=40,
    price=900,
)
FLOWER = {"component_type": "flower", "name": "Роза", "quantity": 15}


async def test_an_ingredient_is_added_changed_and_removed(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        await create(staff)
        path = f"/api/products/{(await add(staff))['id']}/ingredients"
        added = await staff.post(path, json={"warehouse_item_id": 1, "quantity": 15})
        one = f"{path}/{added.json()['id']}"
        changed = await staff.put(one, json={"quantity": 9, "notes": "короче"})
        counted = await staff.put(one, json={"quantity": 10})
        listed = (await staff.get(path)).json()
        product = (await staff.get(path.removesuffix("/ingredients"))).json()
        removed = await staff.delete(one)
        gone = await staff.put(one, json={"quantity": 1})
        left = (await staff.get(path)).json()

    assert added.status_code == 201
    assert added.json().keys() == {"id", "product_id", "warehouse_item_id", "quantity", "notes"}
    assert (changed.status_code, changed.json()["notes"]) == (200, "короче")
    assert counted.json() == product["ingredients"][0]
    assert counted.json().items() <= listed[0].items()
    assert (listed[0]["quantity"], listed[0]["notes"]) == (10, "короче")
    assert (removed.status_code, isinstance(removed.json()["message"], str)) == (200, True)
    assert (gone.status_code, left) == (404, [])


async def test_the_admins_ingredient_is_accepted(shop: ShopKit) -> None:
    """Spec shop §12: camel case, and the warehouse item as a text."""
    async with shop.staff() as staff:
        await create(staff)
        path = f"/api/products/{(await add(staff))['id']}/ingredients"
        answer = await staff.post(path, json={"warehouseItemId": "1", "quantity": 2})

    assert (answer.status_code, answer.json()["warehouse_item_id"]) == (201, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(({"warehouse_item_id": 1, "quantity": 1}, 400), ({"quantity": 1}, 422)),
        *(({"warehouse_item_id": 1, "quantity": 0}, 422), ({"warehouse_item_id": 1}, 422)),
        *(({"warehouseItemId": "rose", "quantity": 1}, 422),),
    ],
    ids=str,
)
async def test_an_ingredient_that_makes_no_sense_is_refused(
    shop: ShopKit, body: dict[str, Any], status: int
) -> None:
    async with shop.staff() as staff:
        await create(staff)
        path = f"/api/products/{(await add(staff))['id']}/ingredients"
        await staff.post(path, json={"warehouse_item_id": 1, "quantity": 1})
        answer = await staff.post(path, json=body)

    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


async def test_a_line_takes_the_ingredients_of_all_its_pieces(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        for sku in ("A", "B"):
            await create(staff, sku=sku)
        number = (await add(staff))["id"]
        for item, quantity in ((1, 15), (2, 2)):
            body = {"warehouse_item_id": item, "quantity": quantity}
            await staff.post(f"/api/products/{number}/ingredients", json=body)

    [line] = await handlers.lines(shop.deps, TENANT, [(number, 3)])
    assert line.needs == ((1, 45), (2, 6))


async def test_the_list_shows_the_stock_of_each_ingredient(shop: ShopKit) -> None:
    async def stocked(pool: Pool, tenant: str, items: Sequence[int]) -> Mapping[int, StockedItem]:
        return {31: ROSE} if tenant == TENANT and 31 in items else {}

    async def sales(pool: Pool, tenant: str, product_id: int) -> Sales:
        return Sales(orders=3, revenue=75_000)

    hooks = Hooks(stocked_items=stocked, product_sales=sales)
    app = make_app(shop.service, replace(shop.deps, hooks=hooks))
    token = bearer("shop", subject="1", tenant=TENANT, scopes=[f"shop:{p}" for p in PERMISSIONS])
    async with client_of(app, token) as staff:
        number = (await add(staff))["id"]
        path = f"/api/products/{number}/ingredients"
        await staff.post(path, json={"warehouse_item_id": 31, "quantity": 15})
        unknown = await staff.post(path, json={"warehouse_item_id": 32, "quantity": 15})
        [listed] = (await staff.get(path)).json()
        product = (await staff.get(f"/api/products/{number}")).json()

    assert unknown.status_code == 404
    assert (listed["variety"], listed["height_cm"], listed["farm"]) == (
        "Red Naomi",
        60,
        "Esmeralda",
    )
    assert (listed["supplier"], listed["available_qty"], listed["price"]) == ("Флора", 40, 900)
    assert (product["total_orders"], product["total_revenue"]) == (3, 75_000)


async def test_a_component_is_added_changed_and_removed(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        path = f"/api/products/{(await add(staff))['id']}/components"
        added = await staff.post(path, json=FLOWER | {"unit_cost": 400.0, "unit_price": 900})
        one = f"{path}/{added.json()['id']}"
        changed = await staff.put(one, json={"quantity": 10, "description": "60 см"})
        cleared = await staff.put(one, json={"description": None, "name": None})
        listed = (await staff.get(path)).json()
        removed = await staff.delete(one)
        gone = await staff.delete(one)
        left = (await staff.get(path)).json()

    assert added.status_code == 201
    component = added.json()
    assert (component["total_cost"], component["total_price"]) == (6_000, 13_500)
    assert (component["unit"], component["description"]) == ("шт", None)
    assert changed.json() == component | {
        "quantity": 10,
        "description": "60 см",
        "total_cost": 4_000,
        "total_price": 9_000,
    }
    assert listed == [cleared.json()] == [changed.json() | {"description": None}]
    assert (removed.status_code, gone.status_code, left) == (200, 404, [])


@pytest.mark.parametrize("absent", ["component_type", "name", "quantity"])
async def test_a_component_without_a_required_field_is_refused(shop: ShopKit, absent: str) -> None:
    """It was a 500."""
    body = {name: value for name, value in FLOWER.items() if name != absent}
    async with shop.staff() as staff:
        path = f"/api/products/{(await add(staff))['id']}/components"
        answer = await staff.post(path, json=body)

    assert answer.status_code == 422
    assert absent in answer.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("component_type", "money"), ("quantity", 0), ("unit_cost", -1), ("unit_price", "free")],
)
async def test_a_component_with_a_bad_value_is_refused(
    shop: ShopKit, field: str, value: Any
) -> None:
    """A bad kind was a 500."""
    async with shop.staff() as staff:
        path = f"/api/products/{(await add(staff))['id']}/components"
        number = (await staff.post(path, json=FLOWER)).json()["id"]
        added = await staff.post(path, json=FLOWER | {field: value})
        changed = await staff.put(f"{path}/{number}", json={field: value})

    assert (added.status_code, changed.status_code) == (422, 422)


async def test_a_change_of_a_component_cannot_reach_beyond_its_fields(shop: ShopKit) -> None:
    """S16: the original set every attribute that was sent."""
    reach = {"id": 99, "product_id": 99, "component_id": 99, "total_cost": 1, "__class__": "x"}
    async with shop.staff() as staff:
        number = (await add(staff))["id"]
        path = f"/api/products/{number}/components"
        component = (await staff.post(path, json=FLOWER)).json()
        changed = await staff.put(f"{path}/{component['id']}", json=reach | {"name": "Пион"})
        listed = (await staff.get(path)).json()

    assert changed.status_code == 200
    assert listed == [component | {"name": "Пион"}]


async def test_numbers_of_parts_are_never_used_again(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        path = f"/api/products/{(await add(staff))['id']}/components"
        first = (await staff.post(path, json=FLOWER)).json()["id"]
        await staff.delete(f"{path}/{first}")
        second = (await staff.post(path, json=FLOWER)).json()["id"]
        await staff.put(path.replace("components", "images"), json=["/a.jpg"])
        third = (await staff.post(path, json=FLOWER)).json()["id"]

    assert first < second < third - 1
