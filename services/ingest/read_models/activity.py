"""Who did what on which day?

Counters at the finest grain a dashboard can ask for, so that every answer adds up combinations
and never scans. That nothing is counted twice is the projector's promise, not this table's. What
is removed is subtracted where it was counted; the audit of a removal counts on its own day.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    cast,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import distinct_on

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.messaging.projection import Connection, Projection
from libs.postgres import query
from services.ingest.domain.day import day_of
from services.ingest.domain.question import Question
from services.ingest.domain.removal import as_scan
from services.ingest.read_models.changed import TransactionId
from services.ingest.read_models.conditions import asked

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

LATEST: Final = (ACTIVITY.c.last_received_at, ACTIVITY.c.last_at, ACTIVITY.c.last_scan_id)

ADD: Final = """
INSERT INTO activity AS known (tenant, day, operator, client, city, kind, count, removed,
    last_received_at, last_at, last_scan_id, last_box)
SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::uuid[], $12::text[])
ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant, day, operator, client, city, kind) DO UPDATE SET
    count = known.count + excluded.count,
    removed = known.removed + excluded.removed,
    changed = excluded.changed,
    (last_received_at, last_at, last_scan_id, last_box) = (
        SELECT last_received_at, last_at, last_scan_id, last_box
        FROM (VALUES
            (known.last_received_at, known.last_at, known.last_scan_id, known.last_box),
            (excluded.last_received_at, excluded.last_at, excluded.last_scan_id, excluded.last_box)
        ) AS either (last_received_at, last_at, last_scan_id, last_box)
        ORDER BY last_received_at DESC, last_at DESC, last_scan_id DESC LIMIT 1
    )
"""
"""In the order of the key, so that two lanes never wait for each other crosswise."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many scans of the kinds that matter, and how many items were taken back."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    auto_closes: int = 0
    errors: int = 0
    removed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Last:
    """What an operator did last: the newest by receive time, then by its own time."""

    client: str
    city: str
    box: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """The answer. Names may be empty; the operators of both mappings are the same.

    Whoever has nothing left is not named, but `removed` counts what they had, too.
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
        tables=("activity",),
        topics=(ingest.SCANS, ingest.REMOVALS),
        codec=Codec(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Count the scans, and what was taken back."""
    if rows := _folded(events, zone):
        columns = zip(
            *((*key, *added, *newest) for key, (added, newest) in rows.items()), strict=True
        )
        await connection.execute(ADD, *columns)


async def answer(connection: Any, question: Question) -> Activity:
    """Everything counted, in two queries whose work is bounded by the rows of `activity`."""
    operators: dict[str, Counts] = {}
    clients: dict[str, Counts] = {}
    cities: list[str] = []
    removed = 0
    for row in await query.fetch(connection, _totals(question)):
        counts = Counts(*row[5:])
        match row["level"]:
            case 0b111:
                removed = counts.removed
            case 0b011 if row["live"]:
                operators[row["operator"]] = counts
            case 0b101 if row["live"]:
                clients[row["client"]] = counts
            case 0b110 if row["live"]:
                cities.append(row["city"])
    last = {row[0]: Last(*row[1:]) for row in await query.fetch(connection, _last(question))}
    return Activity(operators=operators, last=last, clients=clients, cities=cities, removed=removed)


async def total(connection: Any, question: Question, kind: str | None) -> int:
    """How many scans match, exactly."""
    counted = select(func.coalesce(cast(func.sum(ACTIVITY.c.count), BigInteger), 0))
    matching = counted.where(_matching(question))
    if kind is not None:
        matching = matching.where(ACTIVITY.c.kind == kind)
    found: int = await query.fetchval(connection, matching)
    return found


_Key: TypeAlias = tuple[str, date, str, str, str, str]
_Newest: TypeAlias = tuple[datetime, datetime, UUID, str]
_Added: TypeAlias = tuple[int, int]
"""What is added to `count` and to `removed`."""


def _folded(
    events: Sequence[Envelope[IngestEvent]], zone: ZoneInfo
) -> dict[_Key, tuple[_Added, _Newest]]:
    """One row per key, so that no key is updated twice in a statement."""
    rows: dict[_Key, tuple[_Added, _Newest]] = {}
    for envelope in events:
        if (told := _told(envelope.event)) is None:
            continue
        scan, added, taken = told
        day = day_of(scan.effective_at, zone)
        key = (envelope.tenant, day, scan.operator, scan.client, scan.city, scan.kind)
        newest: _Newest = (scan.received_at, scan.effective_at, scan.scan_id, scan.box)
        (count, removed), known = rows.get(key, ((0, 0), newest))
        rows[key] = (count + added, removed + taken), max(newest, known)
    return rows


def _told(event: IngestEvent) -> tuple[ScanRecorded, int, int] | None:
    """The scan that an event adds or takes back, as `_Added` says it."""
    match event:
        case ScanRecorded():
            return event, 1, 0
        case ItemRemoved(scan=scan):
            return scan, -1, 1
        case RemovalRecorded():
            return as_scan(event), 1, 0
        case _:
            return None


def _matching(question: Question) -> Any:
    days = question.days
    return and_(asked(ACTIVITY, question), ACTIVITY.c.day.between(days.first, days.last))


def _totals(question: Question) -> Select[Any]:
    columns = (ACTIVITY.c.operator, ACTIVITY.c.client, ACTIVITY.c.city)
    kinds = ("ITEM", "BOX", "CLOSE", "AUTO_CLOSE", "ERROR")
    counted = [func.sum(ACTIVITY.c.count).filter(ACTIVITY.c.kind == kind) for kind in kinds]
    sums = (*counted, func.sum(ACTIVITY.c.removed))
    return (
        select(
            func.grouping(*columns).label("level"),
            *columns,
            (func.sum(ACTIVITY.c.count) > 0).label("live"),
            *(func.coalesce(cast(each, BigInteger), 0) for each in sums),
        )
        .where(_matching(question))
        .group_by(func.grouping_sets(*columns, tuple_()))
    )


def _last(question: Question) -> Select[Any]:
    c = ACTIVITY.c
    return (
        select(c.operator, c.client, c.city, c.last_box, c.last_received_at)
        .ext(distinct_on(c.operator))
        .where(_matching(question), c.count > 0)
        .order_by(c.operator, *(column.desc() for column in LATEST))
    )
