"""Which categories of flowers has a shop?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Numeric, Table, Text, select

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import FlowerCategorySet, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.query import row_as
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream

CATEGORY: Final = Table(
    "flower_category",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("category_id", BigInteger, primary_key=True),
    Column("name", Text),
    Column("markup_percent", Numeric),
    Column("keywords", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
)
SAVE: Final = upsert(CATEGORY, insert_only="created_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A category of flowers."""

    category_id: int
    name: str
    markup_percent: Decimal
    keywords: str | None
    created_at: datetime
    updated_at: datetime


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="flower_category",
        tables=("flower_category",),
        topics=(shop.FLOWER_CATEGORIES,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store the latest description of each category."""
    rows = [
        query.values_for(
            CATEGORY,
            event,
            tenant=one.tenant,
            created_at=event.changed_at,
            updated_at=event.changed_at,
        )
        for one in events
        if isinstance(event := one.event, FlowerCategorySet)
    ]
    await SAVE.put(connection, rows)


async def list_all(connection: Connection) -> Sequence[Category]:
    """All categories by name."""
    statement = select(CATEGORY).order_by(CATEGORY.c.name, CATEGORY.c.category_id)
    return [row_as(Category, row) for row in await query.fetch(connection, statement)]
