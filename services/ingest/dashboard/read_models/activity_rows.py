"""The tables of `activity`, and how counters are added to them.

`activity` counts at the finest grain a dashboard can ask for. `activity_total` holds the sums of
its rows by operator, by client and by city, because a day without filters is what everybody asks
for, and a big warehouse has a hundred times as many combinations as names. Both are written in
one transaction, from the same events, so they cannot disagree.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, MetaData, Table, Text, Uuid

from libs.postgres.columns import columns
from libs.projections.projection import Connection
from services.ingest.scans.read_models.changed import TransactionId

ACTIVITY: Final = Table(
    "activity",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("city", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_received_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("last_scan_id", Uuid, nullable=False),
    Column("last_box", Text, nullable=False),
    Column("removed", BigInteger, nullable=False),
    Column("changed", TransactionId, nullable=False),
)
"""`count` is what is left after `removed` were taken back. The `last_` columns are those of the
newest scan of the row, as `LATEST` orders them, removed or not: it was done nevertheless."""

TOTAL: Final = Table(
    "activity_total",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("dimension", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("opens", BigInteger, nullable=False),
    Column("closes", BigInteger, nullable=False),
    Column("auto_closes", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("last_received_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("last_scan_id", Uuid, nullable=False),
    Column("last_client", Text, nullable=False),
    Column("last_city", Text, nullable=False),
    Column("last_box", Text, nullable=False),
)
"""`dimension` is one of `DIMENSIONS`, and `name` one of its values. The columns named in `KINDS`
hold the part of `count` that is of this kind."""

DIMENSIONS: Final = ("operator", "client", "city")
KINDS: Final = {
    "ITEM": "items",
    "BOX": "opens",
    "CLOSE": "closes",
    "AUTO_CLOSE": "auto_closes",
    "ERROR": "errors",
}
"""The kinds that are counted by themselves, and the names of their counters."""
LATEST: Final = ("last_received_at", "last_at", "last_scan_id")

Key: TypeAlias = tuple[str, date, str, str, str, str]
"""Tenant, day, operator, client, city, kind."""
Newest: TypeAlias = tuple[datetime, datetime, UUID, str]
"""Received, scanned, id, box."""
Added: TypeAlias = tuple[int, int]
"""What is added to `count` and to `removed`."""
Rows: TypeAlias = Mapping[Key, tuple[Added, Newest]]


def _adding(
    table: str, key: str, counters: str, last: str, types: str, also: str = "", first: int = 1
) -> str:
    """In the order of the key, so that two lanes never wait for each other crosswise.

    The columns are parameters from `first` on.
    """
    arrays = ", ".join(f"${n}::{one}[]" for n, one in enumerate(types.split(), first))
    places = ", ".join(str(n) for n, _ in enumerate(key.split(", "), 1))
    added = ", ".join(f"{one} = known.{one} + excluded.{one}" for one in counters.split(", "))

    def of(row: str) -> str:
        return ", ".join(f"{row}.{name}" for name in last.split(", "))

    return f"""
INSERT INTO {table} AS known ({key}, {counters}, {last})
SELECT * FROM unnest({arrays}) ORDER BY {places}
ON CONFLICT ({key}) DO UPDATE SET {added}{also},
    ({last}) = (
        SELECT {last} FROM (VALUES ({of("known")}), ({of("excluded")})) AS either ({last})
        ORDER BY last_received_at DESC, last_at DESC, last_scan_id DESC LIMIT 1
    )
"""  # noqa: S608


_COLUMNS: Final = (
    "text date text text text text" + 2 * " bigint" + " timestamptz timestamptz uuid text"
)
_ADD_COUNTS: Final = _adding(
    "activity",
    "tenant, day, operator, client, city, kind",
    "count, removed",
    "last_received_at, last_at, last_scan_id, last_box",
    _COLUMNS,
    also=", changed = excluded.changed",
)
_ADD_TOTAL: Final = _adding(
    "activity_total",
    "tenant, day, dimension, name",
    ", ".join(("count", "removed", *KINDS.values())),
    "last_received_at, last_at, last_scan_id, last_client, last_city, last_box",
    "text date text text" + 7 * " bigint" + " timestamptz timestamptz uuid text text text",
    first=len(_COLUMNS.split()) + 1,
)
_ADD: Final = f"WITH counted AS ({_ADD_COUNTS}) {_ADD_TOTAL}"
"""Both tables at once: a round trip less before anything is visible."""


async def add(connection: Connection, rows: Rows) -> None:
    """Add to the counters of both tables."""
    if rows:
        flat = ((*key, *added, *newest) for key, (added, newest) in rows.items())
        await connection.execute(_ADD, *columns(flat), *columns(_totals(rows)))


def _totals(rows: Rows) -> Iterator[tuple[Any, ...]]:
    totals: dict[tuple[Any, ...], tuple[Sequence[int], tuple[Any, ...]]] = {}
    for (tenant, day, operator, client, city, kind), (added, newest) in rows.items():
        counted = (*added, *(added[0] if kind == one else 0 for one in KINDS))
        last = (*newest[:3], client, city, newest[3])
        for dimension, name in zip(DIMENSIONS, (operator, client, city), strict=True):
            key = (tenant, day, dimension, name)
            before, known = totals.get(key, ((0,) * len(counted), last))
            sums = tuple(map(int.__add__, before, counted))
            totals[key] = sums, max(last, known)
    return ((*key, *added, *last) for key, (added, last) in totals.items())
