"""What everybody may read about a shop and its products (spec shop §4.9, S6, C14)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from tests.services.shop.gateway import ROSES, Gateway
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import Florist


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


@pytest.fixture
async def visitor(shop: ShopKit) -> AsyncIterator[AsyncClient]:
    async with shop.anonymous() as client:
        yield client


async def names(visitor: AsyncClient, path: str, **query: Any) -> list[str]:
    """The names of the products that a path lists."""
    answer = (await visitor.get(f"/api/public/{path}", params=query)).json()
    return [one["name"] for one in answer.get("items") or answer.get("products") or []]


async def test_a_shop_has_the_fields_of_both_storefronts(
    visitor: AsyncClient, florist: Florist
) -> None:
    hours = {"from": "08:00", "to": "20:00"}
    settings = {"address": "Абая 10", "working_hours": hours, "delivery_zones": []}
    assert (await florist.client.patch("/api/settings/", json=settings)).status_code == 200

    for path in ("/api/public/shops/7", "/api/public/shops/7/"):
        answer = await visitor.get(path)

        assert (answer.status_code, answer.json()) == (
            200,
            {
                "id": 7,
                "name": "Розы",
                "phone": "+77010000002",
                "whatsapp_number": "+77010000002",
                "whatsapp": "+77010000002",
                "address": "Абая 10",
                "pickup_address": "Абая 10",
                "city": "Алматы",
                "description": "",
                "business_hours": {
                    day: ["08:00", "20:00"]
                    for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
                },
                "working_hours": "08:00–20:00",
                "delivery_zones": [],
                "delivery_price": 2000,
                "delivery_time": "2–4 часа",
                "shop_logo_url": None,
                "instagram": None,
                "rating": None,
                "reviews_count": 0,
                "currency": "KZT",
                "timezone": "Asia/Almaty",
            },
        )


PATHS = (
    "shops/9",
    "products?shop_id=9",
    "shops/9/products",
    "shops/9/categories",
)


@pytest.mark.parametrize("path", PATHS)
async def test_a_shop_that_does_not_exist_is_404(visitor: AsyncClient, path: str) -> None:
    answer = await visitor.get(f"/api/public/{path}")

    assert (answer.status_code, answer.json()["detail"]) == (404, "Магазин не найден")


@pytest.mark.parametrize("path", PATHS)
async def test_responses_are_cached_until_they_change(
    visitor: AsyncClient, shop: ShopKit, gateway: Gateway, path: str
) -> None:
    gateway.answers["shop-9"] = ROSES
    path = f"/api/public/{path}"
    first = await visitor.get(path)
    known = {"If-None-Match": first.headers["etag"]}

    unchanged = await visitor.get(path, headers=known)
    async with shop.staff(number=9) as client:
        await Florist(client).product()
        await client.patch("/api/settings/", json={"name": "Розы и лилии"})
    changed = await visitor.get(path, headers=known)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert {one.headers["cache-control"] for one in (first, unchanged, changed)} == {
        "public, max-age=30"
    }
    assert (changed.status_code, changed.json() != first.json()) == (200, True)


async def test_products_are_those_on_sale_the_newest_first(
    visitor: AsyncClient, florist: Florist, shop: ShopKit
) -> None:
    for name, fields in (
        ("Розы", {"sale_price": 12000}),
        ("Ирисы", {"category": "potted", "retail_price": 9000}),
        ("Снятые", {"is_active": False}),
        ("Пионы", {"retail_price": 30000, "description": "белые розы"}),
    ):
        await florist.product(name=name, **fields)
    async with shop.staff(number=8) as client:
        await Florist(client).product(name="Чужие")

    listed = (await visitor.get("/api/public/products?shop_id=7")).json()

    assert [one["name"] for one in listed["items"]] == ["Пионы", "Ирисы", "Розы"]
    assert listed["total"] == 3
    assert listed["items"][2] | {"id": 0} == {
        "id": 0,
        "shop_id": 7,
        "name": "Розы",
        "category": "bouquet",
        "description": None,
        "image_url": None,
        "retail_price": 15000,
        "sale_price": 12000,
        "is_active": True,
        "is_popular": False,
        "is_new": False,
        "images": [],
    }
    for path, more in (("products", {"shop_id": 7}), ("shops/7/products/", {})):
        assert await names(visitor, path, **more, limit=1, skip=1) == ["Ирисы"]
        assert await names(visitor, path, **more, category="potted") == ["Ирисы"]
        assert await names(visitor, path, **more, min_price=9000.5, max_price=12000) == ["Розы"]
    assert await names(visitor, "shops/7/products", search="РОЗЫ") == ["Пионы", "Розы"]


async def test_a_picture_that_only_the_browser_of_the_admin_has_is_not_public(
    visitor: AsyncClient, florist: Florist
) -> None:
    product = await florist.product()
    urls = ["blob:http://localhost:5177/285e47e4", "/uploads/rose.png"]

    stored = await florist.client.put(f"/api/products/{product}/images", json=urls)
    (shown,) = (await visitor.get("/api/public/products?shop_id=7")).json()["items"]

    assert [one["image_url"] for one in stored.json()["images"]] == urls
    assert [(one["image_url"], one["is_primary"]) for one in shown["images"]] == [(urls[1], True)]


@pytest.mark.parametrize(
    "query", ["limit=101", "limit=0", "skip=-1", "category=cactus", "min_price=-1", "max_price=x"]
)
async def test_a_filter_that_makes_no_sense_is_422(visitor: AsyncClient, query: str) -> None:
    answer = await visitor.get(f"/api/public/products?shop_id=7&{query}")

    assert (answer.status_code, type(answer.json()["detail"])) == (422, str)


async def test_the_second_storefront_reads_present_prices_and_whether_there_is_stock(
    visitor: AsyncClient, florist: Florist
) -> None:
    few, many = await florist.stock(4), await florist.stock(3, sku="second batch")
    hidden = await florist.stock(100, "Лилия")
    await florist.client.patch(f"/api/warehouse/{hidden}", json={"hidden": True})
    await florist.product((few, 8), name="Восемь роз")
    await florist.product((many, 7), name="Семь роз", sale_price=12000)
    await florist.product((hidden, 1), name="Лилия")
    await florist.product(name="Открытка")

    listed = (await visitor.get("/api/public/shops/7/products")).json()

    stocked = {one["name"]: one["in_stock"] for one in listed["products"]}
    assert stocked == {"Открытка": True, "Лилия": False, "Семь роз": True, "Восемь роз": False}
    assert (listed["total"], listed["shop_id"]) == (4, 7)
    roses = next(one for one in listed["products"] if one["name"] == "Семь роз")
    assert roses | {"id": 0} == {
        "id": 0,
        "name": "Семь роз",
        "description": None,
        "price": 12000,
        "category": "bouquet",
        "image_url": None,
        "in_stock": True,
        "shop_id": 7,
    }
    path = "shops/7/products"
    assert await names(visitor, path, in_stock=True) == ["Открытка", "Семь роз"]
    assert await names(visitor, path, in_stock=False, limit=1, skip=1) == ["Восемь роз"]


async def test_categories_count_products_on_sale_and_none_is_invented(
    visitor: AsyncClient, florist: Florist
) -> None:
    path = "/api/public/shops/7/categories"
    empty = (await visitor.get(path)).json()
    for fields in ({}, {}, {"category": "potted"}, {"category": "other", "is_active": False}):
        await florist.product(**fields)

    assert empty == {"categories": [], "total": 0}
    assert (await visitor.get(path)).json() == {
        "categories": [
            {"name": "bouquet", "count": 2, "display_name": "Букеты"},
            {"name": "potted", "count": 1, "display_name": "Горшечные"},
        ],
        "total": 2,
    }
