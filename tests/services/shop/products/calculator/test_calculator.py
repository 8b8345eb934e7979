"""Materials, margins, and products made of a calculation (spec shop §4.7, §7)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shop.products.calculator.domain import (
    BadCalculation,
    Calculation,
    Item,
    calculated_product,
    components_of,
    whole,
)
from tests.services.shop.kit import ShopKit

RIBBON = {"name": "Лента", "category": "ленты", "price": 300.5, "unit": "м"}
ROSES = {"name": "Роза", "quantity": 3, "price": 900}
CALCULATION = {
    "flowers": [ROSES, {"name": "Эвкалипт", "quantity": 1, "price": 500.4}],
    "materials": [{"name": "Крафт", "quantity": 2, "price": 250}],
    "labor_cost": 2000,
    "margin_percentage": 42.51,
    "total_cost": 4000,
    "final_price": 5700.4,
}


async def test_a_material_is_added_changed_and_removed(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        added = await staff.post("/api/calculator/materials", json=RIBBON)
        one = f"/api/calculator/materials/{added.json()['id']}"
        changed = await staff.patch(one, json={"price": "310.456", "category": None, "name": None})
        read = await staff.get(one)
        listed = (await staff.get("/api/calculator/materials/")).json()
        removed = await staff.delete(one)
        gone = [await staff.get(one), await staff.patch(one, json={}), await staff.delete(one)]
        left = (await staff.get("/api/calculator/materials")).json()

    material = added.json()
    assert added.status_code == 201
    assert (material["price"], material["unit"], material["shop_id"]) == ("300.50", "м", 7)
    assert (material["is_active"], material["in_stock"]) == (True, True)
    assert changed.json() == read.json()
    assert (changed.json()["price"], changed.json()["category"]) == ("310.46", None)
    assert changed.json()["name"] == "Лента"
    assert listed == {"items": [read.json()], "total": 1}
    assert (removed.status_code, removed.content) == (204, b"")
    assert {answer.status_code for answer in gone} == {404}
    assert left == {"items": [], "total": 0}


async def test_materials_are_listed_by_category_and_use(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        for name, category, is_active in (("A", "a", True), ("B", "a", False), ("C", "c", True)):
            body = RIBBON | {"name": name, "category": category, "is_active": is_active}
            await staff.post("/api/calculator/materials", json=body)

        async def names(**params: Any) -> list[str]:
            found = (await staff.get("/api/calculator/materials", params=params)).json()
            return [one["name"] for one in found["items"]]

        assert await names() == ["A", "B", "C"]
        assert await names(category="a") == ["A", "B"]
        assert await names(category="a", is_active=True) == ["A"]
        assert await names(skip=1, limit=1) == ["B"]


@pytest.mark.parametrize(
    ("field", "value"), [("price", -1), ("price", "NaN"), ("price", 10**8), ("name", "")]
)
async def test_a_material_that_cannot_be_is_refused(shop: ShopKit, field: str, value: Any) -> None:
    async with shop.staff() as staff:
        answer = await staff.post("/api/calculator/materials", json=RIBBON | {field: value})

    assert answer.status_code == 422


async def test_shops_share_neither_materials_nor_margins(shop: ShopKit) -> None:
    async with shop.staff() as staff, shop.staff(number=8) as other:
        number = (await other.post("/api/calculator/materials", json=RIBBON)).json()["id"]
        await other.patch("/api/calculator/settings", json={"default_labor_cost": 1})
        one = f"/api/calculator/materials/{number}"
        foreign = [await staff.get(one), await staff.patch(one, json={}), await staff.delete(one)]
        listed = (await staff.get("/api/calculator/materials")).json()
        settings = (await staff.get("/api/calculator/settings")).json()

    assert {answer.status_code for answer in foreign} == {404}
    assert listed["total"] == 0
    assert settings["default_labor_cost"] == "2000.00"


async def test_the_settings_are_texts_with_two_digits(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        first = (await staff.get("/api/calculator/settings")).json()
        changed = await staff.patch(
            "/api/calculator/settings",
            json={"default_labor_cost": "2500", "premium_margin_percent": 120.5},
        )
        second = (await staff.get("/api/calculator/settings/")).json()
        too_much = await staff.patch(
            "/api/calculator/settings", json={"min_margin_percent": 1000.01}
        )

    amounts = ("default_labor_cost", "min_margin_percent", "recommended_margin_percent")
    assert [first[name] for name in amounts] == ["2000.00", "30.00", "50.00"]
    assert (first["premium_margin_percent"], first["id"], first["shop_id"]) == ("100.00", 7, 7)
    assert changed.json() == second
    assert (second["default_labor_cost"], second["premium_margin_percent"]) == ("2500.00", "120.50")
    assert second["min_margin_percent"] == "30.00"
    assert too_much.status_code == 422


async def test_a_calculation_becomes_a_product_with_components(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        body = {"calculation": CALCULATION, "category": "composition"}
        answer = await staff.post("/api/calculator/create-product", json=body)
        listed = (await staff.get("/api/products/")).json()["items"]

    product = answer.json()
    assert answer.status_code == 201
    assert listed == [product]
    assert (product["cost_price"], product["retail_price"], product["is_new"]) == (4000, 5700, True)
    assert product["name"] == "Букет из Роза, Эвкалипт"
    assert product["description"] == "Состав: Роза - 3 шт.; Эвкалипт - 1 шт.. Декор: Крафт"
    assert product["category"] == "composition"
    components = product["components"]
    assert [(one["component_type"], one["name"], one["quantity"]) for one in components] == [
        ("flower", "Роза", 3),
        ("flower", "Эвкалипт", 1),
        ("material", "Крафт", 2),
        ("service", "Работа флориста", 1),
    ]
    assert [one["unit_price"] for one in components] == [900, 500, 250, 2000]
    assert components[-1]["unit"] == "услуга"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"final_price": 1}, "Цена"),
        ({"final_price": 5702}, "Цена"),
        ({"total_cost": 2400}, "Себестоимость"),
        ({"margin_percentage": 50}, "Маржа"),
        ({"flowers": [ROSES | {"price": 1}]}, "Цена"),
        ({"flowers": [ROSES | {"quantity": 0}]}, "данные"),
        ({"flowers": [ROSES | {"price": -900}]}, "данные"),
        ({"labor_cost": -1}, "данные"),
    ],
    ids=str,
)
async def test_a_calculation_whose_numbers_do_not_agree_is_refused(
    shop: ShopKit, changes: dict[str, Any], part: str
) -> None:
    """The original trusted every number."""
    async with shop.staff() as staff:
        body = {"calculation": CALCULATION | changes}
        answer = await staff.post("/api/calculator/create-product", json=body)

    assert answer.status_code == 422
    assert part in answer.json()["detail"]
    assert await shop.events() == []


async def test_a_calculation_of_unknown_cost_does_not_break_the_list(shop: ShopKit) -> None:
    """C20: in the original such a product made the shop's list of products fail."""
    calculation = CALCULATION | {"total_cost": 0, "margin_percentage": 0}
    async with shop.staff() as staff:
        body = {"calculation": calculation, "product_name": "Без цены"}
        answer = await staff.post("/api/calculator/create-product", json=body)
        listed = await staff.get("/api/products/")

    assert answer.status_code == 201
    assert listed.status_code == 200
    assert [one["cost_price"] for one in listed.json()["items"]] == [0]


async def test_a_florist_reads_the_calculator_and_changes_nothing(shop: ShopKit) -> None:
    async with shop.staff("orders", "production") as florist:
        read = await florist.get("/api/calculator/settings")
        refused = [
            await florist.patch("/api/calculator/settings", json={}),
            await florist.post("/api/calculator/materials", json=RIBBON),
            await florist.post("/api/calculator/create-product", json={"calculation": CALCULATION}),
        ]

    assert read.status_code == 200
    assert {answer.status_code for answer in refused} == {403}


AMOUNTS = st.decimals(min_value=0, max_value=100_000, places=2)
ITEMS = st.lists(
    st.builds(Item, name=st.just("A"), quantity=st.integers(1, 100), price=AMOUNTS), max_size=4
)


@given(flowers=ITEMS, materials=ITEMS, labor=AMOUNTS, stems=AMOUNTS)
def test_what_the_page_calculates_is_accepted(
    flowers: list[Item], materials: list[Item], labor: Decimal, stems: Decimal
) -> None:
    """By the formulas of the page (spec shop §7), in binary fractions."""
    extras = float(labor) + sum(float(one.price) * one.quantity for one in materials)
    cost = float(stems) + extras
    price = sum(float(one.price) * one.quantity for one in flowers) + extras
    calculation = Calculation(
        flowers=flowers,
        materials=materials,
        labor_cost=labor,
        margin_percentage=Decimal(str((price - cost) / cost * 100 if cost else 0)),
        total_cost=Decimal(str(cost)),
        final_price=Decimal(str(price)),
    )
    try:
        product = calculated_product(calculation, name=None, description=None, category="other")
    except BadCalculation:
        assert whole(Decimal(str(price))) <= 0
        return

    assert abs(product.retail_price - price) <= 1
    assert product.name
    parts = components_of(calculation)
    rounding = sum(one["quantity"] for one in parts)
    assert abs(sum(one["unit_price"] * one["quantity"] for one in parts) - price) <= rounding
