"""What orders do with the stock, in the log and as the admin sees it (spec shop §7, C3, C4)."""

import asyncio
from typing import Any

import pytest

from contracts.shop import BatchMovedIn
from libs.eventsourcing.execute_many import execute_many
from services.shop.stock.domain.commands import (
    ItemUnknown,
    Need,
    Release,
    Reserve,
    Return,
    StockShort,
    WriteOff,
)
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import stock_id_of
from services.shop.stock.handlers.item import (
    needs_by_stock,
    order_events,
    streams_of,
    streams_of_order,
)
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.stock.batches import NOW
from tests.services.shop.stock.warehouse import METADATA, create, movements, read, reserve, run

BY: Any = {"by": "anna", "now": NOW}


async def test_forty_adjustments_at_once_are_all_counted(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        answers = await asyncio.gather(
            *(
                admin.post(
                    f"/api/warehouse/{item['id']}/adjust-stock",
                    json={"adjustment": -1, "reason": "Брак"},
                )
                for _ in range(40)
            )
        )
        rows = await movements(admin, item["id"])
        after = await read(admin, item["id"])

    # The original ended at 92 of 100, with 40 movements.
    assert {one.status_code for one in answers} == {200}
    adjusted = [row for row in rows if row["type"] == "adjustment"]
    assert (after["qty"], len(adjusted)) == (60, 40)
    assert sorted(row["qty_after"] for row in adjusted) == list(range(60, 100))
    assert len({row["id"] for row in rows}) == 41


async def test_twenty_orders_at_once_for_five_stems_get_five(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin, qty=5)
        outcomes = await asyncio.gather(
            *(run(shop, item["id"], reserve(n, item["id"], 1)) for n in range(1, 21)),
            return_exceptions=True,
        )
        after = await read(admin, item["id"])

    # The original marked 9 lines as reserved, with a counter of 5.
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert {type(one).__name__ for one in refused} == {"StockShort"}
    assert (len(refused), after["reserved_qty"], after["available_qty"]) == (15, 5, 0)
    rows = await shop.fetch_value("SELECT sum(reserved) FROM stock_allocation")
    assert rows == 5


async def test_what_an_order_does_is_seen_in_levels_and_movements(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        item = await create(admin)
        number = item["id"]
        await run(shop, number, reserve(7, number, 10), reserve(8, number, 5))
        await run(shop, number, WriteOff(order_id=7, **BY))
        # An issue after delivery: the original ate the reservation of order 8 here.
        assert await run(shop, number, Release(order_id=7, **BY)) == []
        delivered = await read(admin, number)
        await run(shop, number, Return(order_id=7, **BY))
        rolled_back = await read(admin, number)
        await run(shop, number, Release(order_id=7, **BY), Release(order_id=8, **BY))
        cancelled = await read(admin, number)
        rows = await movements(admin, number)

    assert (delivered["qty"], delivered["reserved_qty"]) == (90, 5)
    assert (rolled_back["qty"], rolled_back["reserved_qty"]) == (100, 15)
    assert (cancelled["qty"], cancelled["reserved_qty"]) == (100, 0)
    assert [(row["type"], row["quantity"], row["reference_id"]) for row in rows[:2]] == [
        ("in", 10, "7"),
        ("out", -10, "7"),
    ]
    assert sum(row["quantity"] for row in rows) == 100


async def test_a_renamed_batch_keeps_its_history_and_what_orders_took(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        number = (await create(admin, delivery_date="2026-01-01"))["id"]
        other = (await create(admin, sku="X", variety="Эксплорер"))["id"]
        await run(shop, number, reserve(7, number, 10), WriteOff(order_id=7, **BY))
        renamed = await admin.patch(
            f"/api/warehouse/{number}", json={"variety": " эксплорер", "qty": 95}
        )
        await run(shop, other, Return(order_id=7, **BY))
        await run(shop, other, reserve(9, other, 100))
        first, second = await read(admin, number), await read(admin, other)
        rows = await movements(admin, number)

    assert renamed.status_code == 200, renamed.text
    assert len(await shop.events(BatchMovedIn)) == 1
    assert (first["variety"], first["qty"], first["reserved_qty"]) == ("эксплорер", 105, 105)
    assert (second["qty"], second["reserved_qty"]) == (100, 5)
    assert [row["quantity"] for row in rows] == [10, 5, -10, 100]
    assert len({row["id"] for row in rows}) == 4


async def test_an_order_over_two_items_is_reserved_as_a_whole_or_not_at_all(
    shop: ShopKit,
) -> None:
    async with shop.staff() as admin:
        numbers = [
            (await create(admin, sku=name, variety=name, qty=quantity))["id"]
            for name, quantity in (("Фридом", 10), ("Эксплорер", 2), ("Эвкалипт", 1))
        ]
        needs = [Need(warehouse_item_id=number, quantity=5) for number in numbers]
        streams = await streams_of(shop.deps, TENANT, numbers)
        commands = {
            stock_id: [Reserve(order_id=7, needs=of_stock, **BY)]
            for stock_id, of_stock in needs_by_stock(streams, needs).items()
        }
        with pytest.raises(StockShort) as refusal:
            await execute_many(
                shop.deps.store,
                [(STOCK, stock_id) for stock_id in commands],
                lambda states: order_events(states, commands),
                metadata=METADATA,
            )
        await shop.caught_up()
        reserved = [(await read(admin, number))["reserved_qty"] for number in numbers]

    assert refusal.value.missing == {"Эксплорер 60 см": 3, "Эвкалипт 60 см": 4}
    assert reserved == [0, 0, 0]


async def test_the_stock_of_an_order_is_known_also_after_its_batch_was_renamed(
    shop: ShopKit,
) -> None:
    async with shop.staff() as admin:
        number = (await create(admin))["id"]
        await run(shop, number, reserve(7, number, 10), WriteOff(order_id=7, **BY))
        before = await streams_of_order(shop.deps, TENANT, 7)
        await admin.patch(f"/api/warehouse/{number}", json={"heightCm": 70})
        after = await streams_of_order(shop.deps, TENANT, 7)
        await run(shop, number, Return(order_id=7, is_reserved=False, **BY))
        returned = await streams_of_order(shop.deps, TENANT, 7)

    assert [*before, *after] == [stock_id_of("Фридом", 60), stock_id_of("Фридом", 70)]
    assert returned == frozenset()


async def test_needs_of_an_unknown_item_are_refused(shop: ShopKit) -> None:
    with pytest.raises(ItemUnknown):
        await streams_of(shop.deps, TENANT, [1])
    assert await streams_of(shop.deps, TENANT, []) == {}
