"""Products, as staff add, find, change and remove them (spec shop §4.3)."""

from typing import Any

import pytest
from httpx import AsyncClient

from contracts.shop import ProductDetails
from libs.eventsourcing.log import Metadata
from services.shop.products import handlers
from services.shop.products.domain import ProductInactive, ProductUnknown
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.products.catalogue import BOUQUET, add


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


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800"], ids=["NUL", "half a character"])
async def test_texts_that_cannot_be_stored_are_refused(shop: ShopKit, text: str) -> None:
    json_type = {"content-type": "application/json"}
    async with shop.staff() as staff:
        path = f"/api/products/{(await add(staff))['id']}"
        for url, body in {
            path: '{"name": "%s"}',
            f"{path}/": '{"image_url": "/%s"}',
            f"{path}/components/1": '{"unit": "%s"}',
            f"{path}/ingredients/1": '{"quantity": 1, "notes": "%s"}',
        }.items():
            answer = await staff.put(url, content=body % text, headers=json_type)
            assert (answer.status_code, type(answer.json()["detail"])) == (422, str), url
        images = await staff.put(f"{path}/images", content=f'["/{text}"]', headers=json_type)
        material = await staff.post(
            "/api/calculator/materials",
            content='{"name": "A", "price": 1, "category": "%s"}' % text,  # noqa: UP031
            headers=json_type,
        )

    assert (images.status_code, material.status_code) == (422, 422)


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


async def test_a_change_replaces_the_given_fields_only(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        added = await add(staff, description="15 роз", sale_price=22_000)
        answer = await staff.put(
            f"/api/products/{added['id']}", json={"sale_price": None, "name": None, "is_new": True}
        )
        read = (await staff.get(f"/api/products/{added['id']}/")).json()

    changed = answer.json()
    assert answer.status_code == 200
    assert read == changed | {"total_orders": 0, "total_revenue": 0}
    assert changed["updated_at"] > added["updated_at"]
    same = {"sale_price": None, "is_new": True, "current_price": 25_000, "discount_percentage": 0}
    assert changed == added | same | {"updated_at": changed["updated_at"]}


async def test_a_change_of_nothing_is_no_event(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        added = await add(staff)
        answer = await staff.put(f"/api/products/{added['id']}", json=BOUQUET)

    assert (answer.status_code, answer.json()) == (200, added)
    assert len(await shop.events()) == 1


async def test_a_product_off_sale_is_listed_only_if_asked_for(shop: ShopKit) -> None:
    """C11: in the original it vanished from the admin's list."""
    async with shop.staff() as staff:
        await add(staff, name="A")
        number = (await add(staff, name="B"))["id"]
        off = await staff.post(f"/api/products/{number}/toggle-active")
        without, with_it = await names(staff), await names(staff, include_inactive=True)
        on = await staff.post(f"/api/products/{number}/toggle-active/")

    assert (off.status_code, off.json()["is_active"]) == (201, False)
    assert (without, with_it) == (["A"], ["A", "B"])
    assert on.json()["is_active"] is True


async def test_a_removed_product_is_gone_and_its_history_stays(shop: ShopKit) -> None:
    """C11: in the original the removal of an ordered product failed."""
    async with shop.staff() as staff:
        number = (await add(staff))["id"]
        removed = await staff.delete(f"/api/products/{number}")
        left = await names(staff, include_inactive=True)
        again = await staff.delete(f"/api/products/{number}")
        read = await staff.get(f"/api/products/{number}")
        changed = await staff.put(f"/api/products/{number}", json={"name": "A"})

    assert (removed.status_code, removed.json()["id"]) == (200, number)
    assert removed.json()["is_active"] is False
    assert left == []
    assert {again.status_code, read.status_code, changed.status_code} == {404}
    assert len(await shop.events()) == 2
    with pytest.raises(ProductUnknown):
        await handlers.lines(shop.deps, TENANT, [(number, 1)])


async def test_the_first_image_is_the_primary_one(shop: ShopKit) -> None:
    urls = ["blob:http://localhost:5173/0a5b", "/uploads/a.jpg", "https://example.kz/b.webp"]
    async with shop.staff() as staff:
        number = (await add(staff))["id"]
        first = (await staff.put(f"/api/products/{number}/images", json=urls)).json()["images"]
        await staff.put(f"/api/products/{number}/images", json=urls[1:])
        second = (await staff.get(f"/api/products/{number}")).json()["images"]

    assert [image["image_url"] for image in first] == urls
    assert [image["is_primary"] for image in first] == [True, False, False]
    assert [image["sort_order"] for image in first] == [0, 1, 2]
    assert [image["is_primary"] for image in second] == [True, False]
    assert {image["id"] for image in first} & {image["id"] for image in second} == set()
    assert all(image["created_at"] and image["product_id"] == number for image in second)


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", " javascript:a"),
        *("data:text/html,<script>", "vbscript:a", "//evil.example/a", "https://a/'onerror='"),
        *("/a b", "/\\evil.example", "", "ftp://a/b"),
    ],
)
async def test_an_image_that_could_be_a_program_is_refused(shop: ShopKit, url: str) -> None:
    async with shop.staff() as staff:
        number = (await add(staff))["id"]
        answer = await staff.put(f"/api/products/{number}/images", json=[url])
        product = (await staff.get(f"/api/products/{number}")).json()

    assert (answer.status_code, product["images"]) == (422, [])


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["Розы", "Тюльпаны", "Корзина"]),
        ({"category": "composition"}, ["Корзина"]),
        ({"search": "РОЗ"}, ["Розы", "Корзина"]),
        ({"search": "%"}, []),
        ({"is_popular": True}, ["Розы"]),
        ({"is_new": False}, ["Розы", "Корзина"]),
        ({"min_price": 9_000}, ["Розы", "Тюльпаны"]),
        ({"min_price": "8999.5", "max_price": 9_000.5}, ["Тюльпаны"]),
        ({"max_price": 8_999}, ["Корзина"]),
        ({"on_sale": True}, ["Корзина"]),
        ({"on_sale": False}, ["Розы", "Тюльпаны"]),
        ({"search": "роз", "on_sale": True}, ["Корзина"]),
    ],
    ids=str,
)
async def test_the_list_has_the_products_that_match_all_filters(
    shop: ShopKit, params: dict[str, Any], found: list[str]
) -> None:
    async with shop.staff() as staff, shop.staff(number=8) as other:
        await add(staff, name="Розы", retail_price=20_000, is_popular=True)
        await add(staff, name="Тюльпаны", retail_price=9_000, is_new=True)
        await add(
            staff,
            name="Корзина",
            category="composition",
            description="с розами",
            retail_price=30_000,
            sale_price=8_000,
        )
        await add(other, name="Розы у соседа")

        assert await names(staff, **params) == found


async def test_pages_of_the_list_do_not_overlap(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        numbers = [(await add(staff, name=str(n)))["id"] for n in range(5)]
        await staff.put(f"/api/products/{numbers[1]}", json={"name": "changed"})
        pages = [
            (await staff.get("/api/products", params={"skip": skip, "limit": 2})).json()
            for skip in (0, 2, 4)
        ]

    assert [one["id"] for page in pages for one in page["items"]] == numbers
    assert {page["total"] for page in pages} == {5}


@pytest.mark.parametrize(
    "params",
    [{"category": "flowers"}, {"limit": 0}, {"limit": 1001}, {"min_price": -1}, {"search": "\0"}],
    ids=str,
)
async def test_a_filter_that_makes_no_sense_is_refused(
    shop: ShopKit, params: dict[str, Any]
) -> None:
    """C14: a bad category was a 500."""
    async with shop.staff() as staff:
        assert (await staff.get("/api/products/", params=params)).status_code == 422


ROUTES = [
    *(("GET", "", None), ("PUT", "", {"name": "A"}), ("DELETE", "", None)),
    *(("POST", "/toggle-active", None), ("PUT", "/images", ["/a.jpg"])),
    *(("GET", "/ingredients", None), ("GET", "/components", None)),
    ("POST", "/ingredients", {"warehouse_item_id": 1, "quantity": 1}),
    *(("PUT", "/ingredients/1", {"quantity": 1}), ("DELETE", "/ingredients/1", None)),
    ("POST", "/components", {"component_type": "flower", "name": "A", "quantity": 1}),
    *(("PUT", "/components/1", {"quantity": 1}), ("DELETE", "/components/1", None)),
]
"""All routes of one product."""


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda part: str(part)[:20])
async def test_another_shops_product_does_not_exist(
    shop: ShopKit, method: str, path: str, body: Any
) -> None:
    """S6."""
    async with shop.staff() as staff, shop.staff(number=8) as other:
        number = (await add(other))["id"]
        before = await shop.events()
        answer = await staff.request(method, f"/api/products/{number}{path}", json=body)

    assert answer.status_code == 404
    assert await shop.events() == before


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda part: str(part)[:20])
async def test_a_florist_reads_products_and_changes_none(
    shop: ShopKit, method: str, path: str, body: Any
) -> None:
    async with shop.staff() as staff, shop.staff("orders", "production") as florist:
        number = (await add(staff))["id"]
        answer = await florist.request(method, f"/api/products/{number}{path}", json=body)

    assert answer.status_code == (200 if method == "GET" else 403)
