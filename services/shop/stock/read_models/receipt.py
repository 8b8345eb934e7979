"""Which goods came in, by deliveries and supplies?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import GoodsReceived, ShopEvent, SupplyArchived
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.filters import Filters, eq
from libs.postgres.upsert import insert_missing
from libs.projections.projection import Connection, Projection, by_stream

RECEIPT: Final = Table(
    "receipt",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("receipt_id", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("goods", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("archived_at", DateTime(timezone=True)),
)
SAVE: Final = insert_missing(RECEIPT, "kind", "goods", "created_at")
ARCHIVE: Final = """
UPDATE receipt SET archived_at = $3 WHERE tenant = $1 AND receipt_id = $2
"""

Kind = Literal["delivery", "supply"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredReceipt:
    """Goods that came in; supplies may be archived."""

    goods: GoodsReceived
    archived_at: datetime | None = None


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="receipt",
        tables=("receipt",),
        topics=(shop.RECEIPTS,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store the goods, then which supplies were archived."""
    received = [
        (one.tenant, event.receipt_id, event.kind, _encoded(event), event.received_at)
        for one in events
        if isinstance(event := one.event, GoodsReceived)
    ]
    await SAVE.put(connection, received)
    for one in events:
        if isinstance(event := one.event, SupplyArchived):
            archived = (one.tenant, event.receipt_id, event.archived_at)
            await query.execute(connection, ARCHIVE, *archived)


_FILTERS: Final = Filters(
    kind=eq(RECEIPT.c.kind),
    receipt_id=eq(RECEIPT.c.receipt_id),
    is_archived=lambda value: RECEIPT.c.archived_at.is_not(None) == value,
)


async def page(
    connection: Connection,
    kind: Kind,
    *,
    is_archived: bool | None = None,
    limit: int,
    offset: int,
) -> tuple[Sequence[StoredReceipt], int]:
    """Receipts of a kind, newest first, and how many there are in all."""
    matching = _FILTERS.where({"kind": kind, "is_archived": is_archived})
    rows = select(RECEIPT).where(matching).order_by(RECEIPT.c.receipt_id.desc())
    newest = await query.fetch(connection, rows.limit(limit).offset(offset))
    number = select(func.count()).select_from(RECEIPT).where(matching)
    return [_receipt(row) for row in newest], await query.fetchval(connection, number)


async def find(connection: Connection, kind: Kind, receipt_id: int) -> StoredReceipt | None:
    """A receipt by its id."""
    matching = _FILTERS.where({"kind": kind, "receipt_id": receipt_id})
    row = await query.fetchrow(connection, select(RECEIPT).where(matching))
    return None if row is None else _receipt(row)


def _receipt(row: Any) -> StoredReceipt:
    goods = msgspec.json.decode(row["goods"], type=GoodsReceived)
    return StoredReceipt(goods=goods, archived_at=row["archived_at"])


def _encoded(event: GoodsReceived) -> str:
    return msgspec.json.encode(event).decode()
