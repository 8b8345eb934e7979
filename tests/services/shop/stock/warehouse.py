"""Goods as the admin sends them, and stock as it reads it."""

from typing import Any, Final

from httpx import AsyncClient

from contracts.shop import ShopEvent
from libs.eventsourcing.execute_many import execute_many
from libs.eventsourcing.log import Metadata
from services.shop.stock.domain.commands import Need, OrderCommand, Reserve
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.handlers.item import order_events, streams_of
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.stock.batches import NOW

METADATA: Final = Metadata(tenant=TENANT, actor="anna")
ITEM: Final[dict[str, Any]] = {
    "sku": "FRE-1",
    "batch_code": "B1",
    "variety": "Фридом",
    "height_cm": 60,
    "farm": "Naranjo",
    "supplier": "Flower Base",
    "delivery_date": "2026-03-02T09:00:00",
    "currency": "USD",
    "rate": 500,
    "cost": 0.5,
    "markup_pct": 80,
    "qty": 100,
}
DELIVERY: Final[dict[str, Any]] = {
    "supplier": "Flower Base",
    "farm": "Naranjo",
    "delivery_date": "2026-03-02",
    "currency": "USD",
    "rate": 500,
    "comment": "Утренний рейс",
    "positions": [
        {"variety": "Фридом", "height_cm": 60, "qty": 50, "cost_per_stem": 0.45},
        {"variety": "Эксплорер", "height_cm": 70, "qty": 25, "cost_per_stem": 0.5},
    ],
}


async def create(admin: AsyncClient, **fields: Any) -> dict[str, Any]:
    """A new batch, as the answer shows it."""
    answer = await admin.post("/api/warehouse/", json={**ITEM, **fields})
    assert answer.status_code == 201, answer.text
    item: dict[str, Any] = answer.json()
    return item


async def read(admin: AsyncClient, item_id: int) -> dict[str, Any]:
    """A batch, as it is read alone."""
    answer = await admin.get(f"/api/warehouse/{item_id}")
    assert answer.status_code == 200, answer.text
    item: dict[str, Any] = answer.json()
    return item


async def movements(admin: AsyncClient, item_id: int) -> list[dict[str, Any]]:
    """The movements of a batch, newest first."""
    answer = await admin.get(f"/api/warehouse/{item_id}/movements", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["items"]
    return rows


async def run(shop: ShopKit, item_id: int, *commands: OrderCommand) -> list[ShopEvent]:
    """The events of an order's commands on the stock item of a batch, as orders execute them."""
    streams = await streams_of(shop.deps, TENANT, [item_id])
    executed = await execute_many(
        shop.deps.store,
        [(STOCK, streams[item_id])],
        lambda states: order_events(states, {streams[item_id]: commands}),
        metadata=METADATA,
    )
    await shop.caught_up()
    return [event for events in executed.events.values() for event in events]


def reserve(order_id: int, item_id: int, quantity: int) -> Reserve:
    """The command that reserves stems for an order."""
    needs = (Need(warehouse_item_id=item_id, quantity=quantity),)
    return Reserve(order_id=order_id, needs=needs, by="anna", now=NOW)
