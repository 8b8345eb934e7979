"""Supplies, their text, and the categories of flowers (spec shop §4.5)."""

from typing import Any, Final

import pytest
from httpx import AsyncClient

from services.shop.stock.domain.commands import WriteOff
from tests.services.shop.kit import ShopKit
from tests.services.shop.stock.batches import NOW
from tests.services.shop.stock.warehouse import DELIVERY, movements, reserve, run

SUPPLY: Final[dict[str, Any]] = {
    "supplier": "Flower Base",
    "items": [
        {"flower_name": "Роза Фридом", "height_cm": 60, "purchase_price": 250, "quantity": 40},
        {"flower_name": "Эвкалипт", "height_cm": 50, "purchase_price": 120.5, "quantity": 10},
    ],
}


async def add(admin: AsyncClient, name: str, markup: float, keywords: str | None = None) -> Any:
    body = {"name": name, "markup_percentage": markup, "keywords": keywords}
    answer = await admin.post("/api/supplies/categories", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_categories_are_listed_by_name_and_belong_to_the_shop(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        roses = await add(admin, "Розы", 120, "роза, фридом")
        greens = await add(admin, "Зелень", 80.5)
        await add(other, "Розы", 10)
        listed = (await admin.get("/api/supplies/categories/")).json()

    # The original shared them between all shops.
    assert listed == [greens, roses]
    assert (roses["markup_percentage"], roses["keywords"]) == (120, "роза, фридом")
    assert greens["markup_percentage"] == 80.5


async def test_a_category_is_changed_by_field(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        roses = await add(admin, "Розы", 120, "роза")
        path = f"/api/supplies/categories/{roses['id']}"
        answer = await admin.put(path, json={"markup_percentage": 90})
        cleared = await admin.put(path + "/", json={"keywords": None})
        listed = (await admin.get("/api/supplies/categories")).json()

    assert answer.status_code == 200
    assert answer.json()["markup_percentage"] == 90
    assert answer.json()["keywords"] == "роза"
    assert answer.json()["created_at"] == roses["created_at"] < answer.json()["updated_at"]
    assert cleared.json()["keywords"] is None
    assert listed == [cleared.json()]


async def test_the_name_of_a_category_is_unique_in_the_shop(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        roses, greens = await add(admin, "Розы", 120), await add(admin, "Зелень", 80)
        body = {"name": " розы", "markup_percentage": 1}
        again = await admin.post("/api/supplies/categories/", json=body)
        renamed = await admin.put(f"/api/supplies/categories/{greens['id']}", json=body)
        same = await admin.put(f"/api/supplies/categories/{roses['id']}", json=body)
        unknown = await admin.put("/api/supplies/categories/999", json=body)
        foreign = await other.put(f"/api/supplies/categories/{roses['id']}", json=body)
        wrong = await admin.post(
            "/api/supplies/categories", json={"name": "Прочее", "markup_percentage": 501}
        )

    statuses = [one.status_code for one in (again, renamed, same, unknown, foreign, wrong)]
    assert statuses == [400, 400, 200, 404, 404, 422]


async def test_a_text_is_parsed_and_its_faults_named_by_line(shop: ShopKit) -> None:
    text = (
        "\nРоза Фридом 60 250 450\n"
        "без чисел\n"
        "Пион 5 100 1\n"
        "\n"
        "Пион 50 0 1\n"
        "Пион 50 100 0\n"
        "  Сорт  два 70 99.5 3  \n"
        "Пион -50 100 1"
    )
    async with shop.staff() as admin:
        roses = await add(admin, "Розы", 120, "роза")
        answer = await admin.post("/api/supplies/parse", json={"text": text, "supplier": "Rosa"})

    assert answer.status_code == 200
    preview = answer.json()
    assert preview["supplier"] == "Rosa"
    assert preview["items"] == [
        {
            "flower_name": "Роза Фридом",
            "height_cm": 60,
            "purchase_price": 250,
            "quantity": 450,
            "category_id": roses["id"],
            "category_name": "Розы",
            "retail_price": 550,
        },
        {
            "flower_name": "Сорт два",
            "height_cm": 70,
            "purchase_price": 99.5,
            "quantity": 3,
            "category_id": None,
            "category_name": None,
            "retail_price": 200,
        },
    ]
    assert preview["total_cost"] == 250 * 450 + 99.5 * 3
    assert [error.split(":")[0] for error in preview["errors"]] == [
        f"Строка {number}" for number in (3, 4, 6, 7, 9)
    ]


async def test_a_text_that_is_no_unicode_is_refused(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        answer = await admin.post(
            "/api/supplies/parse",
            content='{"text": "Роза\\ud800 60 100 1"}'.encode(),
            headers={"Content-Type": "application/json"},
        )

    assert answer.status_code == 422


async def test_the_category_with_the_lowest_id_wins(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        first = await add(admin, "Я последняя по имени", 10, " ,фридом")
        await add(admin, "Розы", 120, "роза")
        answer = await admin.post("/api/supplies/parse", json={"text": "РОЗА ФРИДОМ 60 100 1"})

    (item,) = answer.json()["items"]
    assert (item["category_id"], item["retail_price"]) == (first["id"], 110)


async def test_an_imported_supply_makes_batches_priced_by_category(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        roses = await add(admin, "Розы", 120, "роза")
        answer = await admin.post("/api/supplies/import", json=SUPPLY)
        supply = answer.json()
        items = {item["id"]: item for item in (await admin.get("/api/warehouse/")).json()["items"]}
        read = (await admin.get(f"/api/supplies/{supply['id']}/")).json()
        listed = (await admin.get("/api/supplies")).json()
        (movement,) = await movements(admin, supply["items"][0]["id"])

    assert answer.status_code == 201, answer.text
    assert read == supply
    assert listed == {"items": [supply], "total": 1}
    assert (supply["status"], supply["currency"], supply["rate"]) == ("active", "KZT", 1)
    assert supply["total_cost"] == 250 * 40 + 120.5 * 10
    rose, eucalyptus = supply["items"]
    assert (rose["category_id"], rose["category"]) == (roses["id"], roses)
    assert (rose["retail_price"], rose["quantity"], rose["remaining_quantity"]) == (550, 40, 40)
    assert (eucalyptus["category"], eucalyptus["retail_price"]) == (None, 240)
    code = items[rose["id"]]["batch_code"]
    assert code.startswith(f"S{supply['id']}-20")
    assert items[rose["id"]]["sku"] == f"{code}-001"
    assert items[eucalyptus["id"]]["sku"] == f"{code}-002"
    assert (items[rose["id"]]["farm"], items[rose["id"]]["price"]) == ("Flower Base", 550)
    assert items[rose["id"]]["markup_pct"] == 120
    assert (movement["reference_type"], movement["reference_id"]) == (
        "supply",
        str(supply["id"]),
    )


async def test_a_named_category_counts_and_one_that_the_shop_does_not_have_is_by_name(
    shop: ShopKit,
) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        foreign = await add(other, "Чужая", 300)
        roses, sale = await add(admin, "Розы", 120, "роза"), await add(admin, "Акция", 10)
        # The page for quick receiving sends 1 always, and an empty date if none is chosen.
        wanted = (sale["id"], foreign["id"], None)
        items = [{**SUPPLY["items"][0], "category_id": one} for one in wanted]
        body = {**SUPPLY, "items": items, "delivery_date": "", "farm": ""}
        answer = await admin.post("/api/supplies/import", json=body)

    assert answer.status_code == 201, answer.text
    got = [one["category_id"] for one in answer.json()["items"]]
    assert got == [sale["id"], roses["id"], roses["id"]]
    assert answer.json()["items"][0]["retail_price"] == 280


@pytest.mark.parametrize(
    ("price", "rate", "retail"),
    [
        (0.5, 500, 500),  # the original forgot the rate, and made 0 of it
        (0.01, 1, 10),
        (72.5, 1, 150),  # 145: half up, where Python rounds to even
        (62.5, 1, 130),
    ],
)
async def test_a_retail_price_includes_the_rate_is_rounded_half_up_and_never_zero(
    shop: ShopKit, price: float, rate: float, retail: int
) -> None:
    item = {**SUPPLY["items"][1], "purchase_price": price}
    async with shop.staff() as admin:
        answer = await admin.post(
            "/api/supplies/import",
            json={**SUPPLY, "items": [item], "rate": rate, "currency": "USD"},
        )

    assert answer.json()["items"][0]["retail_price"] == retail


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"items": []}, 400),
        ({"items": [{**SUPPLY["items"][0], "height_cm": 9}]}, 422),
        ({"items": [{**SUPPLY["items"][0], "purchase_price": 0}]}, 422),
        ({"items": [{**SUPPLY["items"][0], "quantity": 0}]}, 422),
        ({"supplier": ""}, 422),
    ],
)
async def test_an_impossible_supply_brings_nothing(
    shop: ShopKit, change: dict[str, Any], status: int
) -> None:
    async with shop.staff() as admin:
        answer = await admin.post("/api/supplies/import", json={**SUPPLY, **change})
        listed = (await admin.get("/api/warehouse/")).json()

    assert (answer.status_code, listed["total"]) == (status, 0)
    assert isinstance(answer.json()["detail"], str)


async def test_what_remains_of_a_supply_follows_the_orders(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        old = (await admin.post("/api/supplies/import", json=SUPPLY)).json()
        new = (await admin.post("/api/supplies/import", json=SUPPLY)).json()
        rose = new["items"][0]["id"]
        await run(shop, rose, reserve(7, rose, 50))
        await run(shop, rose, WriteOff(order_id=7, by="anna", now=NOW))
        left = [
            (await admin.get(f"/api/supplies/{one['id']}")).json()["items"][0] for one in (old, new)
        ]

    # The original never decreased them. The older supply goes first.
    assert [one["remaining_quantity"] for one in left] == [0, 30]
    assert [one["quantity"] for one in left] == [40, 40]


async def test_supplies_are_archived_and_filtered(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        first = (await admin.post("/api/supplies/import/", json=SUPPLY)).json()
        second = (await admin.post("/api/supplies/import", json=SUPPLY)).json()
        path = f"/api/supplies/{first['id']}"
        foreign = await other.put(f"{path}/archive")
        archived = await admin.put(f"{path}/archive")
        again = await admin.put(f"{path}/archive/")
        unknown = await admin.put("/api/supplies/99999/archive")

        async def ids(**params: Any) -> list[int]:
            answer = await admin.get("/api/supplies/", params=params)
            return [one["id"] for one in answer.json()["items"]]

        assert await ids() == [second["id"], first["id"]]
        assert await ids(limit=1, skip=1) == [first["id"]]
        assert await ids(status="archived") == [first["id"]]
        assert await ids(status="active") == [second["id"]]
        wrong = await admin.get("/api/supplies/", params={"status": "gone"})

    assert [archived.status_code, again.status_code] == [200, 200]
    assert archived.json() == again.json() == {**first, "status": "archived"}
    assert [foreign.status_code, unknown.status_code, wrong.status_code] == [404, 404, 422]


async def test_a_delivery_is_not_a_supply(shop: ShopKit) -> None:

    async with shop.staff() as admin:
        delivery = (await admin.post("/api/warehouse/deliveries", json=DELIVERY)).json()
        path = f"/api/supplies/{delivery['id']}"
        answers = [await admin.get(path), await admin.put(f"{path}/archive")]

    assert [one.status_code for one in answers] == [404, 404]
