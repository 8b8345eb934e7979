"""Which categories of flowers has a shop?"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Numeric, Table, Text, select

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import FlowerCategorySet, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream

CATEGORY: Final = Table(
    "flower_category",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("category_id", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("markup_percent", Numeric, nullable=False),
    Column("keywords", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
SAVE: Final = upsert(CATEGORY)


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
    """Store the latest event of each category."""
    rows = [
        query.values_for(CATEGORY, one.event, tenant=one.tenant)
        for one in events
        if isinstance(one.event, FlowerCategorySet)
    ]
    await SAVE.put(connection, rows)


async def list_all(connection: Connection) -> Sequence[FlowerCategorySet]:
    """All categories by name, each as its latest event."""
    statement = select(CATEGORY).order_by(CATEGORY.c.name, CATEGORY.c.category_id)
    rows = await query.fetch(connection, statement)
    return [query.row_as(FlowerCategorySet, row) for row in rows]
