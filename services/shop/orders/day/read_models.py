"""What happened on a day? One row for each figure that an event adds to."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import BigInteger, Column, Date, MetaData, Table, Text, select, tuple_

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Connection
from libs.postgres.upsert import insert_missing, upsert
from libs.projections.projection import Projection, by_stream
from services.shop.orders.day.domain import Money, added

NAME: Final = "day"
MONEY: Final = Table(
    "day_money",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("money", Text, nullable=False),
)
"""The state of each order, as JSON: see `Money`."""
FIGURE: Final = Table(
    "day_figure",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("figure", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("amount", BigInteger, nullable=False),
)
SAVE_MONEY: Final = upsert(MONEY)
SAVE_FIGURE: Final = insert_missing(FIGURE)
OF_DAY: Final = """
SELECT figure, sum(amount)::bigint AS amount, max(position) AS position
FROM day_figure JOIN events USING (tenant, stream, version)
WHERE tenant = $1 AND day = $2 GROUP BY figure ORDER BY figure
"""

_encode = msgspec.json.Encoder().encode


def projection(zone: ZoneInfo) -> Projection[ShopEvent]:
    """The projection; days are those of `zone`."""
    return Projection(
        name=NAME,
        tables=(MONEY.name, FIGURE.name),
        topics=(shop.ORDERS, shop.STOCK),
        codec=codec_of(shop.EVENTS),
        project=partial(project, zone=zone),
        shard_key=by_stream,
    )


async def project(
    connection: Connection, events: Sequence[Envelope[ShopEvent]], *, zone: ZoneInfo
) -> None:
    """Add to the figures what each event does, given the money of its order."""
    keys = sorted({(one.tenant, one.stream) for one in events})
    statement = select(MONEY).where(tuple_(MONEY.c.tenant, MONEY.c.stream).in_(keys))
    known = {
        (row["tenant"], row["stream"]): msgspec.json.decode(row["money"], type=Money)
        for row in await query.fetch(connection, statement)
    }
    figures = []
    for one in events:
        key = one.tenant, one.stream
        known[key], at, values = added(known.get(key, Money()), one.event)
        if at is not None:
            day = at.astimezone(zone).date()
            figures += [(*key, one.version, name, day, values[name]) for name in values]
    orders = {key: money for key, money in known.items() if money != Money()}
    await SAVE_MONEY.put(connection, [(*key, _encode(orders[key]).decode()) for key in orders])
    await SAVE_FIGURE.put(connection, figures)


async def of_day(connection: Connection, tenant: str, day: date) -> tuple[Mapping[str, int], int]:
    """The figures of a day, and the position of the last event in them, 0 without one."""
    rows = await query.fetch(connection, OF_DAY, tenant, day)
    figures = {row["figure"]: row["amount"] for row in rows if row["amount"]}
    return figures, max((row["position"] for row in rows), default=0)
