"""Products, as staff add, find, change and remove them (spec shop §4.3)."""

from typing import Any

import pytest
from httpx import AsyncClient

from contracts.shop import ProductDetails
from libs.eventsourcing.log import Metadata
from services.shop.products import handlers
from services.shop.products.domain import ProductInactive, ProductUnknown
from tests.services.shop.kit import TENANT, ShopKit

BOUQUET = {"name": "Нежность", "category": "bouquet", "cost_price": 10_000, "retail_price": 25_000}


async def add(staff: AsyncClient, **fields: Any) -> dict[str, Any]:
    """Add a product, and return it as the API answers it."""
    answer = await staff.post("/api/products/", json=BOUQUET | fields)
    assert answer.status_code == 201, answer.text
    product: dict[str, Any] = answer.json()
    return product


async def names(staff: AsyncClient, **params: Any) -> list[str]:
    """The names of the products that a search finds, in its order."""
    answer = await staff.get("/api/products/", params=params)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["total"] == len(found["items"])
    return [product["name"] for product in found["items"]]


async def test_a_new_product_has_the_fields_that_clients_read(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        added = await add(staff, description="15 роз", sale_price=22_000, is_popular=True)
        read = (await staff.get(f"/api/products/{added['id']}")).json()

    assert read == added | {"total_orders": 0, "total_revenue": 0}
    assert added | BOUQUET == added
    assert (added["current_price"], added["discount_percentage"]) == (22_000, 12)
    assert (added["is_active"], added["is_popular"], added["is_new"]) == (True, True, False)
    assert added["images"] == added["ingredients"] == added["components"] == []
    assert added["created_at"] == added["updated_at"]
    assert added["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("retail", "sale", "current", "discount"),
    [(3000, 2000, 2000, 33), (3000, 2999, 2999, 0), (3000, None, 3000, 0), (3000, 4000, 4000, 0)],
)
async def test_the_discount_is_rounded_down(
    shop: ShopKit, retail: int, sale: int | None, current: int, discount: int
) -> None:
    async with shop.staff() as staff:
        product = await add(staff, retail_price=retail, sale_price=sale)

    assert (product["current_price"], product["discount_percentage"]) == (current, discount)


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        *(("cost_price", 0, 0), ("cost_price", 1500.0, 1500), ("cost_price", 1500.5, 1501)),
        *(("sale_price", None, None), ("image_url", "", None), ("image_url", None, None)),
        ("image_url", "/uploads/a.jpg", "/uploads/a.jpg"),
    ],
)
async def test_what_the_catalogues_form_sends_is_accepted(
    shop: ShopKit, field: str, sent: Any, stored: Any
) -> None:
    """Spec shop §12: a cost of 0, and no price on sale."""
    async with shop.staff() as staff:
        assert (await add(staff, **{field: sent}))[field] == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("category", "flowers"), ("name", ""), ("name", "a\0"), ("cost_price", -0.4)),
        *(("retail_price", 0), ("retail_price", 0.4), ("retail_price", -1), ("sale_price", 0)),
        *(("retail_price", 10**12), ("article", 0), ("image_url", "javascript:alert(1)")),
    ],
)
async def test_what_a_product_cannot_have_is_refused(shop: ShopKit, field: str, value: Any) -> None:
    async with shop.staff() as staff:
        answer = await staff.post("/api/products/", json=BOUQUET | {field: value})

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_a_product_of_cost_0_does_not_break_the_list(shop: ShopKit) -> None:
    """C20."""
    async with shop.staff() as staff:
        await add(staff, cost_price=0)
        [product] = (await staff.get("/api/products/")).json()["items"]

    assert product["cost_price"] == 0


async def test_whatever_is_stored_is_answered(shop: ShopKit) -> None:
    """C20: a product of an import, which no form would accept."""
    details = ProductDetails(
        name="", category="gone", cost_price=0, retail_price=0, sale_price=0, image_url="x:y"
    )
    await handlers.add(shop.deps, details, Metadata(tenant=TENANT))
    async with shop.staff() as staff:
        await shop.caught_up()
        [product] = (await staff.get("/api/products/")).json()["items"]
        read = await staff.get(f"/api/products/{product['id']}")

    assert read.status_code == 200
    assert (product["category"], product["current_price"]) == ("gone", 0)
    assert product["discount_percentage"] == 0


async def test_a_line_has_the_price_of_now_and_what_it_takes_of_the_stock(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        rose = await add(staff, sale_price=22_000)
        tulip = await add(staff, name="Тюльпаны", retail_price=9_000)

    lines = await handlers.lines(
        shop.deps, TENANT, [(tulip["id"], 3), (rose["id"], 2), (tulip["id"], 1)]
    )

    assert [(line.name, line.quantity, line.unit_price) for line in lines] == [
        ("Тюльпаны", 3, 9_000),
        ("Нежность", 2, 22_000),
        ("Тюльпаны", 1, 9_000),
    ]
    assert {line.category for line in lines} == {"bouquet"}
    assert {line.needs for line in lines} == {()}


async def test_a_line_over_a_product_that_is_not_for_sale_is_refused(shop: ShopKit) -> None:
    async with shop.staff() as staff, shop.staff(number=8) as other:
        inactive = await add(staff, is_active=False)
        foreign = await add(other)

    with pytest.raises(ProductInactive, match="Нежность"):
        await handlers.lines(shop.deps, TENANT, [(inactive["id"], 1)])
    with pytest.raises(ProductUnknown):
        await handlers.lines(shop.deps, TENANT, [(foreign["id"], 1)])
