"""What came into a batch and left it?"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, func, select

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    BatchReceived,
    ShopEvent,
    StockAdjusted,
    StockReturned,
    StockWrittenOff,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import insert_missing
from libs.projections.projection import Connection, Projection, by_stream

MOVEMENT: Final = Table(
    "stock_movement",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("warehouse_item_id", BigInteger, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("quantity_before", BigInteger, nullable=False),
    Column("quantity_after", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("reference_type", Text, nullable=False),
    Column("reference_id", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
SAVE: Final = insert_missing(MOVEMENT)
_RECEIVED: Final = {
    "delivery": "Поступление по поставке №{}",
    "supply": "Поступление по поставке №{}",
    "manual": "Поступление вручную",
}


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="stock_movement",
        tables=("stock_movement",),
        topics=(shop.STOCK,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store a row for every change of a quantity. Reservations move nothing."""
    await SAVE.put(connection, (row for one in events for row in rows_of(one.tenant, one.event)))


def rows_of(tenant: str, event: ShopEvent) -> Iterator[dict[str, Any]]:
    """The movements of an event: rows of the table. The revision of a batch is their number."""
    match event:
        case BatchReceived() if event.after.quantity:
            text = _RECEIVED[event.reference_type].format(event.reference_id)
            number = None if event.reference_id is None else str(event.reference_id)
            change = _change(event.batch.batch_id, event.after, event.after.quantity)
            row = {"type": "in", "description": text, "reference_type": event.reference_type}
            made = {"created_by": event.received_by, "created_at": event.received_at}
            yield {**change, **row, **made, "reference_id": number, "tenant": tenant}
        case StockAdjusted():
            kind = "in" if event.is_count and event.change > 0 else "adjustment"
            change = _change(event.batch_id, event.after, event.change)
            row = {"type": kind, "description": event.reason, "reference_type": "manual"}
            made = {"created_by": event.adjusted_by, "created_at": event.adjusted_at}
            yield {**change, **row, **made, "tenant": tenant}
        case StockWrittenOff():
            made = {"created_by": event.written_off_by, "created_at": event.written_off_at}
            row = {"type": "out", "description": f"Списано по заказу №{event.order_id}"}
            yield from _of_order(event, -1, {**row, **made, "tenant": tenant})
        case StockReturned():
            made = {"created_by": event.returned_by, "created_at": event.returned_at}
            row = {"type": "in", "description": f"Возврат по заказу №{event.order_id}"}
            yield from _of_order(event, 1, {**row, **made, "tenant": tenant})
        case _:
            return


def _of_order(
    event: StockWrittenOff | StockReturned, sign: int, row: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    reference = {"reference_type": "order", "reference_id": str(event.order_id)}
    for one in event.allocations:
        yield {**_change(one.batch_id, one.after, sign * one.quantity), **reference, **row}


def _change(batch_id: int, after: shop.Level, quantity: int) -> dict[str, Any]:
    return {
        "warehouse_item_id": batch_id,
        "revision": after.revision,
        "quantity": quantity,
        "quantity_before": after.quantity - quantity,
        "quantity_after": after.quantity,
    }


async def page(
    connection: Connection, item_id: int, *, limit: int, offset: int
) -> tuple[Sequence[query.Row], int]:
    """Movements of a batch, newest first, and how many there are in all."""
    c = MOVEMENT.c
    rows = select(MOVEMENT).where(c.warehouse_item_id == item_id).order_by(c.revision.desc())
    number = select(func.count()).select_from(MOVEMENT).where(c.warehouse_item_id == item_id)
    newest = await query.fetch(connection, rows.limit(limit).offset(offset))
    return newest, await query.fetchval(connection, number)
