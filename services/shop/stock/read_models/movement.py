"""What came into a batch and left it?"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, select

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import BatchReceived, Level, ShopEvent, StockAdjusted
from contracts.shop import StockReturned as Returned
from contracts.shop import StockWrittenOff as WrittenOff
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
    rows = ({**row, "tenant": one.tenant} for one in events for row in rows_of(one.event))
    await SAVE.put(connection, rows)


def rows_of(event: ShopEvent) -> Iterator[dict[str, Any]]:
    """The movements of an event: rows of the table, without the tenant."""
    match event:
        case BatchReceived(reference_id=number, after=after) if after.quantity:
            text = f"Поступление по поставке №{number}" if number else "Поступление вручную"
            reference = {
                "reference_type": event.reference_type,
                "reference_id": number and str(number),
            }
            about = _about(text, event.received_by, event.received_at)
            moved = _moved(event.batch.batch_id, after, after.quantity)
            yield {"type": "in", **moved, **reference, **about}
        case StockAdjusted(adjusted_by=by, adjusted_at=at):
            kind = "in" if event.is_count and event.change > 0 else "adjustment"
            moved = _moved(event.batch_id, event.after, event.change)
            about = _about(event.reason, by, at)
            yield {"type": kind, "reference_type": "manual", "reference_id": None, **moved, **about}
        case WrittenOff(order_id=order_id, written_off_by=by, written_off_at=at):
            about = _about(f"Списано по заказу №{order_id}", by, at)
            yield from _of_order(event, -1, {"type": "out", **about})
        case Returned(order_id=order_id, returned_by=by, returned_at=at):
            about = _about(f"Возврат по заказу №{order_id}", by, at)
            yield from _of_order(event, 1, {"type": "in", **about})
        case _:
            return


def _of_order(
    event: WrittenOff | Returned, sign: int, row: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    reference = {"reference_type": "order", "reference_id": str(event.order_id)}
    for one in event.allocations:
        yield {**_moved(one.batch_id, one.after, sign * one.quantity), **reference, **row}


def _about(description: str, by: str, at: datetime) -> dict[str, Any]:
    return {"description": description, "created_by": by, "created_at": at}


def _moved(batch_id: int, after: Level, quantity: int) -> dict[str, Any]:
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
    of_item = select(MOVEMENT).where(MOVEMENT.c.warehouse_item_id == item_id)
    newest = of_item.order_by(MOVEMENT.c.revision.desc())
    return await query.fetch_page(connection, newest, limit=limit, offset=offset)
