"""The read models of the stock depend on the history alone, and show no other shop's rows."""

from dataclasses import replace
from functools import partial, reduce
from random import Random
from typing import Any
from uuid import uuid4

from contracts.envelope import Envelope
from contracts.shop import ShopEvent, StockId
from libs.errors import Refused
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.shop.stock.domain.commands import (
    Adjust,
    Describe,
    MoveIn,
    MoveOut,
    Release,
    Return,
    StockCommand,
    WriteOff,
)
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.receipt import (
    RECEIPT,
    ArchiveSupply,
    Line,
    Origin,
    ReceiveGoods,
)
from services.shop.stock.domain.receipt import (
    receive as receive_goods,
)
from services.shop.stock.domain.stock import Stock, stock_id_of
from services.shop.stock.read_models import item, movement, receipt
from tests.services.shop.stock.batches import NOW, VARIETY, batch, receive, reserve

MODELS = [item.projection(), movement.projection(), receipt.projection()]
TABLES = [table for model in MODELS for table in model.tables]


class History:
    """Events of several shops and stock items, and the state after them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.events: list[Envelope[ShopEvent]] = []
        self.stocks: dict[tuple[str, StockId], Stock] = {}

    def record(self, tenant: str, stream: str, *events: ShopEvent) -> None:
        for event in events:
            version = 1 + sum((one.tenant, one.stream) == (tenant, stream) for one in self.events)
            self.events.append(
                Envelope(
                    event_id=uuid4(),
                    tenant=tenant,
                    stream=stream,
                    version=version,
                    occurred_at=NOW,
                    recorded_at=NOW,
                    correlation_id=None,
                    causation_id=None,
                    actor="anna",
                    traceparent=None,
                    event=event,
                )
            )

    def run(self, tenant: str, stock_id: StockId, command: StockCommand) -> bool:
        """Whether the command was not refused."""
        stock = self.stocks.get((tenant, stock_id), Stock())
        try:
            events = STOCK.decide(stock, command)
        except Refused:
            return False
        self.stocks[tenant, stock_id] = reduce(STOCK.evolve, events, stock)
        self.record(tenant, STOCK.stream(stock_id), *events)
        return True

    def move(self, tenant: str, stock_id: StockId, number: int, height_cm: int) -> None:
        stocked = self.stocks[tenant, stock_id].batches[number]
        to = stock_id_of(VARIETY, height_cm)
        if to != stock_id and self.run(
            tenant, stock_id, MoveOut(batch_id=number, to=to, by="anna", now=NOW)
        ):
            there = replace(stocked.batch, height_cm=height_cm)
            shares = tuple(stocked.shares.values())
            arriving = MoveIn(batch=there, level=stocked.level, shares=shares, by="anna", now=NOW)
            self.run(tenant, to, arriving)


def a_history(seed: int, length: int = 80) -> History:
    history = History(seed)
    random = history.random
    for number in range(1, length):
        tenant = random.choice(["shop-7", "shop-8"])
        height = random.choice([50, 60, 70])
        stock_id, order = stock_id_of(VARIETY, height), random.randrange(1, 6)
        known = [*history.stocks.get((tenant, stock_id), Stock()).batches]
        one = random.choice(known) if known else 0
        if not known or number % 6 == 0:
            new = batch(number, age=number % 4, height_cm=height)
            history.run(tenant, stock_id, receive((new, random.randrange(30))))
            continue
        match random.randrange(7):
            case 0:
                history.move(tenant, stock_id, one, random.choice([50, 60, 70]))
            case 1:
                change = random.choice([-3, 5])
                history.run(
                    tenant,
                    stock_id,
                    Adjust(batch_id=one, change=change, reason="брак", by="a", now=NOW),
                )
            case 2:
                changes = {"price": random.randrange(1000)}
                history.run(
                    tenant, stock_id, Describe(batch_id=one, changes=changes, by="a", now=NOW)
                )
            case 3:
                given: dict[str, Any] = {"order_id": order, "by": "anna", "now": NOW}
                command = Release(**given) if random.random() < 0.5 else WriteOff(**given)
                history.run(tenant, stock_id, command)
            case 4:
                history.run(tenant, stock_id, Return(order_id=order, by="anna", now=NOW))
            case _:
                history.run(tenant, stock_id, reserve(order, random.randrange(8), of=one))
    add_receipts(history)
    return history


def add_receipts(history: History) -> None:
    """Supplies, of which some are archived."""
    origin = Origin(
        supplier="Rosa", farm=None, delivered_at=NOW, currency="KZT", rate=batch(1).rate
    )
    line = Line(variety=VARIETY, height_cm=60, quantity=3, cost=batch(1).cost)
    for number, tenant in enumerate(["shop-7", "shop-8", "shop-7"], 1):
        command = ReceiveGoods(
            kind="supply",
            origin=origin,
            lines=[line],
            receipt_id=number,
            batch_ids=[number],
            day=NOW.date(),
            categories={},
            by="a",
            now=NOW,
        )
        goods, _ = receive_goods(command)
        archive = ArchiveSupply(receipt_id=number, by="a", now=NOW)
        archived = RECEIPT.decide(RECEIPT.state_after([goods]), archive)
        history.record(tenant, RECEIPT.stream(number), goods, *(archived if number == 3 else []))


async def test_read_models_do_not_depend_on_pages_order_or_parallel_partitions(
    pool: Pool,
) -> None:
    histories = [a_history(seed).events for seed in range(8)]

    await assert_history_decides(pool, partial(apply, pool, "shop", MODELS), histories, TABLES)


async def test_tables_hold_what_the_domain_decided(pool: Pool) -> None:
    history = a_history(99, 200)
    await apply(pool, "shop", MODELS, history.events)

    for (tenant, stock_id), stock in history.stocks.items():
        rows = await pool.fetch(
            "SELECT warehouse_item_id, quantity, reserved FROM warehouse_item"
            " JOIN stock_level USING (tenant, warehouse_item_id)"
            " WHERE (tenant, stock_id) = ($1, $2) ORDER BY 1",
            tenant,
            stock_id,
        )
        assert [tuple(row) for row in rows] == sorted(
            (number, one.level.quantity, one.level.reserved)
            for number, one in stock.batches.items()
        )
    difference = await pool.fetch(
        "SELECT tenant, warehouse_item_id FROM stock_level"
        " LEFT JOIN (SELECT tenant, warehouse_item_id, sum(quantity) AS moved"
        "   FROM stock_movement GROUP BY 1, 2) AS moves USING (tenant, warehouse_item_id)"
        " LEFT JOIN (SELECT tenant, warehouse_item_id, sum(reserved) AS allocated"
        "   FROM stock_allocation GROUP BY 1, 2) AS shares USING (tenant, warehouse_item_id)"
        " WHERE (quantity, reserved) IS DISTINCT FROM"
        "   (coalesce(moved, 0), coalesce(allocated, 0))"
    )
    assert not difference


async def test_another_shop_sees_nothing(pool: Pool, reading_pool: Pool) -> None:
    await apply(pool, "shop", MODELS, a_history(3).events)

    await assert_tenants_are_isolated(reading_pool, TABLES)


async def test_the_tables_are_as_the_migration_made_them(pool: Pool) -> None:
    tables = [item.ITEM, item.LEVEL, item.ALLOCATION, movement.MOVEMENT, receipt.RECEIPT]

    assert [table.name for table in tables] == TABLES
    await assert_migrated_as_declared(pool, "shop", tables)
