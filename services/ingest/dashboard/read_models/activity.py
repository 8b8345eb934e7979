"""Who did what on which day?

A query adds up counters and never reads scans. `activity` counts at the finest grain a dashboard
can filter by. `activity_total` holds its sums by operator, by client and by city: most queries
are for one day without filters, and a large warehouse has a hundred times as many combinations as
names. One statement writes both tables.

The projector applies each event once; these tables do not detect repeats. A removed item is
subtracted from the row that counted it; the audit of a removal counts on the day of the removal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    DateTime,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import logged_scan
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.changed import TransactionId
from services.ingest.scans.read_models.conditions import filters_of, parametrized_condition, values

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
"""`count` excludes removed scans, which `removed` counts. The `last_` columns are of the row's
newest scan in the order of `LATEST`, whether it was removed or not."""

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
"""`dimension` is one of `DIMENSIONS`, `name` one of its values. The columns named in `KINDS` hold
the part of `count` that is of that kind."""

DIMENSIONS: Final = ("operator", "client", "city")
"""What the dashboard lists. A filter need not be one."""

KINDS: Final = {
    "ITEM": "items",
    "BOX": "opens",
    "CLOSE": "closes",
    "AUTO_CLOSE": "auto_closes",
    "ERROR": "errors",
}
"""The kinds with a counter of their own, and the names of these counters."""
LATEST: Final = ("last_received_at", "last_at", "last_scan_id")

Key: TypeAlias = tuple[str, date, str, str, str, str]
"""Tenant, day, operator, client, city, kind."""
Newest: TypeAlias = tuple[datetime, datetime, UUID, str]
"""Received, scanned, id, box."""
Added: TypeAlias = tuple[int, int]
"""What is added to `count` and to `removed`."""
Rows: TypeAlias = Mapping[Key, tuple[Added, Newest]]
COUNTS: Final = len(KINDS) + 1


class Counts(NamedTuple):
    """The number of scans by kind, and of removed items."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    auto_closes: int = 0
    errors: int = 0
    removed: int = 0


class Last(NamedTuple):
    """An operator's last scan: by receive time, then by the device's clock."""

    client: str
    city: str
    box: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """The counters that match a filter, by name. A name may be empty.

    `operators` and `last` have the same keys. An operator whose scans were all removed is missing;
    `removed` includes them.
    """

    operators: dict[str, Counts]
    last: dict[str, Last]
    clients: dict[str, Counts]
    cities: list[str]
    removed: int = 0


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, with days in `zone`; another zone needs a rebuild."""
    return Projection(
        name="activity",
        tables=("activity", "activity_total"),
        topics=(ingest.SCANS, ingest.REMOVALS),
        codec=codec_of(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Count scans and removals."""
    if rows := _rows(events, zone):
        # In the order of the columns: `removed` is the last one.
        flat = ((*key, count, *newest, removed) for key, ((count, removed), newest) in rows.items())
        totals = _SAVE_TOTAL.parameters(_totals(rows))
        await connection.execute(_SAVE_BOTH, *_SAVE.parameters(flat), *totals)


async def read_activity(connection: Any, scan_filter: ScanFilter) -> Activity:
    """The counters that match, in one query for the counters and one for the operators' names."""
    counters: dict[str, dict[str, Counts]] = {dimension: {} for dimension in DIMENSIONS}
    last: dict[str, Last] = {}
    removed = 0
    filters = filters_of(scan_filter)
    if filters or len(scan_filter.days) > 1:
        rows = await query.fetch(connection, _sums(filters), **_parameters(scan_filter))
    else:
        day = scan_filter.days.first
        rows = await query.fetch(connection, _day(), tenant=scan_filter.tenant, first=day)
    for dimension, name, live, *fields in rows:
        counts = Counts(*fields[:COUNTS])
        if live:
            counters[dimension][name] = counts
        # Every scan has an operator, whose name may be empty.
        if dimension == "operator":
            removed += counts.removed
            if live:
                last[name] = Last(*fields[COUNTS:])
    names = await operator_name.display_names(connection, scan_filter.tenant, counters["operator"])
    return Activity(
        operators={names[name]: counts for name, counts in counters["operator"].items()},
        last={names[name]: newest for name, newest in last.items()},
        clients=counters["client"],
        cities=list(counters["city"]),
        removed=removed,
    )


def _rows(events: Sequence[Envelope[IngestEvent]], zone: ZoneInfo) -> Rows:
    """One row for each key: a statement must not update a key twice."""
    rows: dict[Key, tuple[Added, Newest]] = {}
    for envelope in events:
        if (scan := logged_scan(envelope.event)) is None:
            continue
        added, removed = (-1, 1) if isinstance(envelope.event, ItemRemoved) else (1, 0)
        day = day_of(scan.effective_at, zone)
        operator = comparable(scan.operator)
        key = (envelope.tenant, day, operator, scan.client, scan.city, scan.kind)
        newest: Newest = (scan.received_at, scan.scanned_at, scan.scan_id, scan.box)
        if key in rows:
            counts, known = rows[key]
            rows[key] = (counts[0] + added, counts[1] + removed), max(newest, known)
        else:
            rows[key] = (added, removed), newest
    return rows


def _parameters(scan_filter: ScanFilter) -> dict[str, Any]:
    return values(scan_filter) | {"first": scan_filter.days.first, "last": scan_filter.days.last}


def _in_activity(filters: tuple[str, ...]) -> ColumnElement[bool]:
    within = ACTIVITY.c.day.between(bindparam("first"), bindparam("last"))
    return and_(parametrized_condition(ACTIVITY, filters), within)


def _in_total() -> ColumnElement[bool]:
    within = TOTAL.c.day.between(bindparam("first"), bindparam("last"))
    return and_(TOTAL.c.tenant == bindparam("tenant"), within)


def _sum_columns(count: ColumnElement[int], sums: Iterable[ColumnElement[Any]]) -> list[Any]:
    """Whether any scan is left, then the fields of `Counts`."""
    live = (func.sum(count) > 0).label("live")
    return [live, *(func.coalesce(cast(one, BigInteger), 0) for one in sums)]


def _newest(rows: Any, *columns: ColumnElement[Any]) -> list[Any]:
    """The columns of the newest row in the order of `LATEST`."""
    order = [rows.c[column].desc() for column in LATEST]
    return [func.array_agg(aggregate_order_by(column, *order))[1] for column in columns]


@cache
def _sums(filters: tuple[str, ...]) -> Select[Any]:
    """One row for each name of each dimension: dimension, name, live, `Counts`, `Last`."""
    if not filters:
        c, by = TOTAL.c, (TOTAL.c.dimension, TOTAL.c.name)
        sums = _sum_columns(c.count, [func.sum(c[name]) for name in (*KINDS.values(), "removed")])
        sums += _newest(TOTAL, c.last_client, c.last_city, c.last_box, c.last_received_at)
        return select(*by, *sums).where(_in_total()).group_by(*by)
    c, columns = ACTIVITY.c, [ACTIVITY.c[name] for name in DIMENSIONS]
    # `grouping` is 0 for the one column that the row is grouped by.
    dimension = case(*((func.grouping(column) == 0, literal(column.name)) for column in columns))
    kinds = [func.sum(c.count).filter(c.kind == kind) for kind in KINDS]
    sums = _sum_columns(c.count, [*kinds, func.sum(c.removed)])
    sums += _newest(ACTIVITY, c.client, c.city, c.last_box, c.last_received_at)
    return (
        select(dimension, func.coalesce(*columns), *sums)
        .where(_in_activity(filters))
        .group_by(func.grouping_sets(*columns))
    )


@cache
def _day() -> Select[Any]:
    """As `_sums` for one day without filters: the rows of `activity_total` themselves."""
    c = TOTAL.c
    counts = (c[name] for name in (*KINDS.values(), "removed"))
    last = (c.last_client, c.last_city, c.last_box, c.last_received_at)
    return select(c.dimension, c.name, (c.count > 0).label("live"), *counts, *last).where(
        c.tenant == bindparam("tenant"), c.day == bindparam("first")
    )


_SAVE: Final = upsert(
    ACTIVITY, add=("count", "removed"), latest={LATEST: "last_box"}, default="changed"
)
_SAVE_TOTAL: Final = upsert(
    TOTAL,
    add=("count", "removed", *KINDS.values()),
    latest={LATEST: ("last_client", "last_city", "last_box")},
)
_SAVE_BOTH: Final = (
    f"WITH counted AS ({_SAVE.sql()}) {_SAVE_TOTAL.sql(first=len(_SAVE.columns) + 1)}"
)
"""Writes both tables in one round trip."""


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
