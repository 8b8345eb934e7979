"""Which goods came in, by deliveries and supplies?"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table, Text, select
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
    Column("is_archived", Boolean, nullable=False),
)
SAVE: Final = insert_missing(RECEIPT)
ARCHIVE: Final = "UPDATE receipt SET is_archived = true WHERE tenant = $1 AND receipt_id = $2"

Stored: TypeAlias = tuple[GoodsReceived, bool]
"""Goods that came in, and whether they are archived."""


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
    rows = [
        (one.tenant, event.receipt_id, event.kind, msgspec.json.encode(event).decode(), False)
        for one in events
        if isinstance(event := one.event, GoodsReceived)
    ]
    await SAVE.put(connection, rows)
    for one in events:
        if isinstance(event := one.event, SupplyArchived):
            await query.execute(connection, ARCHIVE, one.tenant, event.receipt_id)


_FILTERS: Final = Filters(
    kind=eq(RECEIPT.c.kind),
    receipt_id=eq(RECEIPT.c.receipt_id),
    is_archived=eq(RECEIPT.c.is_archived),
)


async def page(
    connection: Connection, *, limit: int = 1, offset: int = 0, **filters: Any
) -> tuple[list[Stored], int]:
    """Receipts, newest first, and how many there are in all. The `filters` are `kind`,
    `receipt_id` and `is_archived`; None matches all."""
    matching = select(RECEIPT).where(_FILTERS.where(filters))
    newest = matching.order_by(RECEIPT.c.receipt_id.desc())
    rows, total = await query.fetch_page(connection, newest, limit=limit, offset=offset)
    decode = msgspec.json.Decoder(GoodsReceived).decode
    return [(decode(row["goods"]), row["is_archived"]) for row in rows], total
