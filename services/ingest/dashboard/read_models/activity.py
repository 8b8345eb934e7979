"""Who did what on which day?

Counters that every answer adds up, so that none ever scans; `activity_rows` says at which grain.
That nothing is counted twice is the projector's promise, not these tables'. What is removed is
subtracted where it was counted; the audit of a removal counts on its own day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
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
from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.read_models.activity_rows import (
    ACTIVITY,
    DIMENSIONS,
    KINDS,
    LATEST,
    TOTAL,
    Added,
    Key,
    Newest,
    Rows,
    add,
)
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import as_scan
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import filters_of, parametrized_condition, values

COUNTS: Final = len(KINDS) + 1


class Counts(NamedTuple):
    """How many scans of the kinds that matter, and how many items were taken back."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    auto_closes: int = 0
    errors: int = 0
    removed: int = 0


class Last(NamedTuple):
    """What an operator did last: the newest by receive time, then by the device's."""

    client: str
    city: str
    box: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """The answer. Names may be empty; the operators of both mappings are the same.

    An operator with nothing left is not named, but `removed` counts what they had, too.
    """

    operators: dict[str, Counts]
    last: dict[str, Last]
    clients: dict[str, Counts]
    cities: list[str]
    removed: int = 0


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, counting days in `zone`; another zone needs a rebuild."""
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
    """Count the scans, and what was taken back."""
    await add(connection, _folded(events, zone))


async def answer(connection: Any, question: ScanFilter) -> Activity:
    """Everything counted, in one query whose work is bounded by the rows of the tables."""
    found: dict[str, dict[str, Counts]] = {dimension: {} for dimension in DIMENSIONS}
    last: dict[str, Last] = {}
    removed = 0
    filters = filters_of(question)
    if filters or len(question.days) > 1:
        rows = await query.fetch(connection, _sums(filters), **_told_to(question))
    else:
        day = question.days.first
        rows = await query.fetch(connection, _day(), tenant=question.tenant, first=day)
    for dimension, name, live, *fields in rows:
        counts = Counts(*fields[:COUNTS])
        if live:
            found[dimension][name] = counts
        # Every scan is some operator's, whose name may be empty.
        if dimension == "operator":
            removed += counts.removed
            if live:
                last[name] = Last(*fields[COUNTS:])
    names = await operator_name.written(connection, question.tenant, found["operator"])
    return Activity(
        operators={names[name]: counts for name, counts in found["operator"].items()},
        last={names[name]: newest for name, newest in last.items()},
        clients=found["client"],
        cities=list(found["city"]),
        removed=removed,
    )


def _folded(events: Sequence[Envelope[IngestEvent]], zone: ZoneInfo) -> Rows:
    """One row per key, so that no key is updated twice in a statement."""
    rows: dict[Key, tuple[Added, Newest]] = {}
    for envelope in events:
        if (counted := _counted(envelope.event)) is None:
            continue
        scan, added, taken = counted
        day = day_of(scan.effective_at, zone)
        operator = comparable(scan.operator)
        key = (envelope.tenant, day, operator, scan.client, scan.city, scan.kind)
        newest: Newest = (scan.received_at, scan.scanned_at, scan.scan_id, scan.box)
        if key in rows:
            (count, removed), known = rows[key]
            rows[key] = (count + added, removed + taken), max(newest, known)
        else:
            rows[key] = (added, taken), newest
    return rows


def _counted(event: IngestEvent) -> tuple[ScanRecorded, int, int] | None:
    """The scan that an event adds or takes back, as `Added` says it."""
    match event:
        case ScanRecorded():
            return event, 1, 0
        case ItemRemoved(scan=scan):
            return scan, -1, 1
        case RemovalRecorded():
            return as_scan(event), 1, 0
        case _:
            return None


def _told_to(question: ScanFilter) -> dict[str, Any]:
    return values(question) | {"first": question.days.first, "last": question.days.last}


def _matching(filters: tuple[str, ...]) -> ColumnElement[bool]:
    within = ACTIVITY.c.day.between(bindparam("first"), bindparam("last"))
    return and_(parametrized_condition(ACTIVITY, filters), within)


def _totalled() -> ColumnElement[bool]:
    within = TOTAL.c.day.between(bindparam("first"), bindparam("last"))
    return and_(TOTAL.c.tenant == bindparam("tenant"), within)


def _added_up(count: ColumnElement[int], sums: Iterable[ColumnElement[Any]]) -> list[Any]:
    """Whether anything is left, then the fields of `Counts`."""
    live = (func.sum(count) > 0).label("live")
    return [live, *(func.coalesce(cast(one, BigInteger), 0) for one in sums)]


def _newest(rows: Any, *columns: ColumnElement[Any]) -> list[Any]:
    """Columns of the newest row."""
    order = [rows.c[column].desc() for column in LATEST]
    return [func.array_agg(aggregate_order_by(column, *order))[1] for column in columns]


@cache
def _sums(filters: tuple[str, ...]) -> Select[Any]:
    """A row for every name in each dimension, ending in the fields of `Counts` and `Last`."""
    if not filters:
        c, by = TOTAL.c, (TOTAL.c.dimension, TOTAL.c.name)
        told = _added_up(c.count, [func.sum(c[name]) for name in (*KINDS.values(), "removed")])
        told += _newest(TOTAL, c.last_client, c.last_city, c.last_box, c.last_received_at)
        return select(*by, *told).where(_totalled()).group_by(*by)
    c, columns = ACTIVITY.c, [ACTIVITY.c[name] for name in DIMENSIONS]
    # In each row all are null but the one it is about.
    about = case(*((func.grouping(column) == 0, literal(column.name)) for column in columns))
    kinds = [func.sum(c.count).filter(c.kind == kind) for kind in KINDS]
    told = _added_up(c.count, [*kinds, func.sum(c.removed)])
    told += _newest(ACTIVITY, c.client, c.city, c.last_box, c.last_received_at)
    return (
        select(about, func.coalesce(*columns), *told)
        .where(_matching(filters))
        .group_by(func.grouping_sets(*columns))
    )


@cache
def _day() -> Select[Any]:
    """The same of one day without filters: its rows as they are."""
    c = TOTAL.c
    counts = (c[name] for name in (*KINDS.values(), "removed"))
    last = (c.last_client, c.last_city, c.last_box, c.last_received_at)
    return select(c.dimension, c.name, (c.count > 0).label("live"), *counts, *last).where(
        c.tenant == bindparam("tenant"), c.day == bindparam("first")
    )
