"""The warehouse, as the admin lists, corrects and receives it (spec shop §4.4, §12)."""

import asyncio
import json
from typing import Any

import pytest

from tests.services.shop.kit import ShopKit
from tests.services.shop.stock.warehouse import (
    DELIVERY,
    ITEM,
    create,
    movements,
    read,
    reserve,
    run,
)


async def test_a_new_batch_has_the_price_of_the_formula_and_a_movement(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        (movement,) = await movements(admin, item["id"])

        assert await read(admin, item["id"]) == item
    # 0.5 · 500 · 1.8
    assert (item["price"], item["recommended_price"]) == (450, 450)
    assert (item["qty"], item["quantity"], item["reserved_qty"], item["available_qty"]) == (
        *(100, 100),
        *(0, 100),
    )
    assert item["delivery_date"] == "2026-03-02T04:00:00Z"
    assert (item["cost"], item["rate"], item["markup_pct"]) == (0.5, 500, 80)
    assert item["is_critical_stock"] is False
    assert movement["type"] == "in"
    assert (movement["quantity"], movement["qty_before"], movement["qty_after"]) == (100, 0, 100)


async def test_a_given_price_stays_and_the_formula_is_recommended(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin, price=777.0)

    assert (item["price"], item["recommended_price"]) == (777, 450)


async def test_a_sku_is_unique_in_a_shop_and_not_beyond(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        await create(admin)
        again = await admin.post(
            "/api/warehouse", json={**(await create(other)), "variety": "Другая"}
        )
        listed = (await admin.get("/api/warehouse")).json()

    # The original answered 500 and shared the skus of all shops.
    assert again.status_code == 409
    assert "артикул" in again.json()["detail"]
    assert listed["total"] == 1


async def test_of_two_batches_with_one_sku_at_once_one_is_received(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        kinds = [{"variety": f"Сорт {number}"} for number in range(6)]

        answers = await asyncio.gather(
            *(admin.post("/api/warehouse/", json={**ITEM, **kind}) for kind in kinds)
        )
        listed = (await admin.get("/api/warehouse/")).json()

    assert sorted(one.status_code for one in answers) == [201] + [409] * 5
    assert listed["total"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("qty", -1), ("rate", 0), ("cost", -1), ("height_cm", 0), ("currency", "RUB")),
        *(("price", -1), ("sku", "  "), ("delivery_date", "0001-01-01"), ("sku", "a\0b")),
        *(("qty", 10**12), ("delivery_date", "вчера"), ("markup_pct", -1), ("cost", "nan")),
    ],
)
async def test_a_batch_with_impossible_values_is_refused(
    shop: ShopKit, field: str, value: Any
) -> None:

    async with shop.staff() as admin:
        answer = await admin.post("/api/warehouse/", json={**ITEM, field: value})

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("field", ["sku", "variety", "farm"])
async def test_half_a_character_is_refused(shop: ShopKit, field: str) -> None:
    async with shop.staff() as admin:
        body = json.dumps({**ITEM, field: "\ud800"})
        answer = await admin.post(
            "/api/warehouse/", content=body, headers={"Content-Type": "application/json"}
        )

    assert answer.status_code == 422


async def test_the_list_is_newest_first_filtered_searched_and_paged(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        first = await create(admin, sku="A", variety="Роза 100%", height_cm=50, on_showcase=True)
        second = await create(admin, sku="B", farm="Ecoroses", to_write_off=True)
        await create(admin, sku="C", hidden=True)

        async def ids(**params: Any) -> list[int]:
            answer = await admin.get("/api/warehouse/", params=params)
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

        assert await ids() == [second["id"], first["id"]]
        assert await ids(page=2, limit=1) == [first["id"]]
        assert await ids(heightCm=50) == await ids(variety="Роза 100%") == [first["id"]]
        assert await ids(onShowcase=True) == await ids(toWriteOff=False) == [first["id"]]
        assert await ids(farm="Ecoroses", supplier="Flower Base") == [second["id"]]
        assert await ids(search="РОЗА") == await ids(search="100%") == [first["id"]]
        assert await ids(search="b1") == [second["id"], first["id"]]
        assert await ids(search="%") == [first["id"]]
        assert (await admin.get("/api/warehouse", params={"limit": 101})).status_code == 422
        assert (await admin.get("/api/warehouse", params={"search": "a\0"})).status_code == 422


async def test_statistics_count_what_is_for_sale(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        await create(admin, sku="A", qty=10, price=100, on_showcase=True)
        await create(admin, sku="B", qty=20, price=50, variety="Эксплорер", supplier="Rosa")
        await create(admin, sku="C", qty=5, to_write_off=True)
        await create(admin, sku="D", qty=9, hidden=True)
        stats = (await admin.get("/api/warehouse/stats")).json()

    assert stats == {
        "total_items": 2,
        "total_value": 2000,
        "critical_items": 1,
        "showcase_items": 1,
        "writeoff_items": 1,
        "by_variety": {"Фридом": 15, "Эксплорер": 20},
        "by_supplier": {"Flower Base": 15, "Rosa": 20},
    }


async def test_an_empty_warehouse_has_statistics(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        stats = (await admin.get("/api/warehouse/stats/")).json()

    assert (stats["total_items"], stats["total_value"], stats["by_variety"]) == (0, 0, {})


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"quantity": 90}, "qty", 90),
        ({"qty": 120}, "quantity", 120),
        ({"price": 500.5}, "price", 501),
        ({"cost": 0.6}, "cost", 0.6),
        ({"cost": 0.6}, "recommended_price", 540),
        ({"min_quantity": 101}, "is_critical_stock", True),
        ({"onShowcase": True}, "on_showcase", True),
        ({"to_write_off": True}, "to_write_off", True),
        ({"toWriteOff": True}, "to_write_off", True),
        ({"heightCm": 70}, "height_cm", 70),
        ({"height_cm": 70}, "height_cm", 70),
        ({"variety": "Эксплорер"}, "variety", "Эксплорер"),
        ({"farm": "Ecoroses"}, "farm", "Ecoroses"),
        ({"supplier": "Rosa"}, "supplier", "Rosa"),
        ({"hidden": True}, "hidden", True),
        ({"updated_by": "кто-то"}, "qty", 100),
    ],
)
async def test_each_field_that_the_admin_changes_is_stored(
    shop: ShopKit, sent: dict[str, Any], field: str, value: Any
) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        answer = await admin.patch(f"/api/warehouse/{item['id']}", json=sent)

        # The original ignored all but the price, and said "updated".
        assert answer.status_code == 200, answer.text
        assert answer.json()[field] == value
        assert await read(admin, item["id"]) == answer.json()


async def test_a_changed_quantity_is_a_movement(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        for quantity in (120, 90, 90):
            await admin.patch(f"/api/warehouse/{item['id']}/", json={"qty": quantity})
        less, more, _ = await movements(admin, item["id"])

    assert (more["type"], more["quantity"], more["qty_after"]) == ("in", 20, 120)
    assert (less["type"], less["quantity"], less["qty_after"]) == ("adjustment", -30, 90)
    assert less["reference_type"] == "manual"


async def test_reserved_stock_is_set_by_orders_only(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        await run(shop, item["id"], reserve(7, item["id"], 60))
        direct = await admin.patch(f"/api/warehouse/{item['id']}", json={"reserved_qty": 0})
        below = await admin.patch(f"/api/warehouse/{item['id']}", json={"qty": 59})
        renamed = await admin.patch(f"/api/warehouse/{item['id']}", json={"variety": "Другая"})
        after = await read(admin, item["id"])

    assert (direct.status_code, below.status_code, renamed.status_code) == (422, 400, 409)
    assert (after["qty"], after["reserved_qty"], after["available_qty"]) == (100, 60, 40)
    assert after["variety"] == "Фридом"


async def test_an_item_that_is_not_there_is_unknown(shop: ShopKit) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        number = (await create(other))["id"]
        for unknown in (number, number + 1000, 2**63 - 1):
            path = f"/api/warehouse/{unknown}"
            answers = [
                await admin.get(path),
                await admin.patch(path, json={"price": 1}),
                await admin.get(f"{path}/movements"),
                await admin.post(f"{path}/adjust-stock", json={"adjustment": 1, "reason": "x"}),
            ]
            assert [one.status_code for one in answers] == [404] * 4, unknown
        assert (await admin.get(f"/api/warehouse/{2**63}")).status_code == 422
        assert (await read(other, number))["price"] == 450


@pytest.mark.parametrize("name", ["adjustment", "quantity_change"])
async def test_an_adjustment_answers_its_movement(shop: ShopKit, name: str) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        answer = await admin.post(
            f"/api/warehouse/{item['id']}/adjust-stock",
            json={name: -3, "reason": "Брак", "created_by": "кто-то"},
        )
        newest = (await movements(admin, item["id"]))[0]

    assert answer.status_code == 200
    movement = answer.json()
    assert movement == newest
    assert (movement["type"], movement["quantity"], movement["description"]) == (
        *("adjustment", -3),
        "Брак",
    )
    assert (movement["qty_before"], movement["qty_after"]) == (100, 97)
    assert (movement["reference_type"], movement["warehouse_item_id"]) == ("manual", item["id"])
    assert movement["created_by"] != "кто-то"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"adjustment": -101, "reason": "x"}, 400),
        ({"adjustment": 0, "reason": "x"}, 422),
        ({"adjustment": 1, "reason": ""}, 422),
        ({"adjustment": 1, "reason": "x" * 256}, 422),
        ({"adjustment": 10**18, "reason": "x"}, 422),
        ({"reason": "x"}, 422),
    ],
)
async def test_an_impossible_adjustment_is_refused(
    shop: ShopKit, body: dict[str, Any], status: int
) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        answer = await admin.post(f"/api/warehouse/{item['id']}/adjust-stock", json=body)

        assert (answer.status_code, (await read(admin, item["id"]))["qty"]) == (status, 100)


async def test_a_delivery_makes_a_batch_of_each_position(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        answer = await admin.post("/api/warehouse/deliveries", json=DELIVERY)
        listed = (await admin.get("/api/warehouse/deliveries/")).json()
        items = (await admin.get("/api/warehouse/")).json()["items"]
        (movement,) = await movements(admin, items[0]["id"])

    assert answer.status_code == 201
    delivery = answer.json()
    assert listed == {"items": [delivery], "total": 1}
    number = delivery["id"]
    assert delivery["cost_total"] == 50 * 0.45 + 25 * 0.5
    assert delivery["delivery_date"] == "2026-03-01T19:00:00Z"
    first, second = delivery["positions"]
    assert (first["qty"], first["cost_per_stem"], first["total_cost"]) == (50, 0.45, 22.5)
    assert first["delivery_id"] == second["delivery_id"] == number
    by_id = {item["id"]: item for item in items}
    item = by_id[second["id"]]
    assert item["batch_code"] == f"B20260302-{number}-2"
    assert item["sku"] == f"ЭКС-NAR-70-B20260302-{number}-2"
    assert (item["price"], item["recommended_price"], item["qty"]) == (500, 500, 25)
    assert movement["type"] == "in"
    assert (movement["reference_type"], movement["reference_id"]) == ("delivery", str(number))


@pytest.mark.parametrize(
    "change",
    [
        {"positions": []},
        {"rate": 0},
        {"positions": [{**DELIVERY["positions"][0], "qty": 0}]},
        {"positions": [{**DELIVERY["positions"][0], "height_cm": 0}]},
        {"positions": [{**DELIVERY["positions"][0], "cost_per_stem": -1}]},
        {"currency": "RUB"},
    ],
)
async def test_an_impossible_delivery_brings_nothing(shop: ShopKit, change: Any) -> None:
    async with shop.staff() as admin:
        answer = await admin.post("/api/warehouse/deliveries/", json={**DELIVERY, **change})
        items = (await admin.get("/api/warehouse/")).json()

    assert (answer.status_code, items["total"]) == (422, 0)


async def test_one_kind_twice_in_a_delivery_is_two_batches(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        twice = {**DELIVERY, "positions": [DELIVERY["positions"][0]] * 2}
        answer = await admin.post("/api/warehouse/deliveries/", json=twice)
        items = (await admin.get("/api/warehouse/")).json()

    assert answer.status_code == 201
    assert items["total"] == 2
    assert len({item["sku"] for item in items["items"]}) == 2


async def test_members_without_the_permission_are_refused(shop: ShopKit) -> None:
    async with shop.staff("orders") as florist, shop.anonymous() as stranger:
        for path in ("/api/warehouse/", "/api/warehouse/deliveries", "/api/supplies/"):
            answers = await florist.get(path), await stranger.get(path)
            assert [one.status_code for one in answers] == [403, 401]
