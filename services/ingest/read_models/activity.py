"""Who did what on which day?

Counters at the finest grain a dashboard can ask for, so that every answer adds up combinations
and never scans. That nothing is counted twice is the projector's promise, not this table's.
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
)
from sqlalchemy.dialects.postgresql import distinct_on

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.messaging.projection import Connection, Projection
from libs.postgres import query
from services.ingest.domain.day import day_of
from services.ingest.domain.question import Question
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
)
"""The last four columns are those of the newest scan of the row, as `LATEST` orders them."""

LATEST: Final = (ACTIVITY.c.last_received_at, ACTIVITY.c.last_at, ACTIVITY.c.last_scan_id)

ADD: Final = """
INSERT INTO activity AS known
SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::text[])
    AS new (tenant, day, operator, client, city, kind, count, last_received_at, last_at,
        last_scan_id, last_box)
ORDER BY tenant, day, operator, client, city, kind
ON CONFLICT (tenant, day, operator, client, city, kind) DO UPDATE SET
    count = known.count + excluded.count,
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
    """How many scans of the kinds that matter."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    auto_closes: int = 0
    errors: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """What an operator did last: the newest by receive time, then by its own time."""

    client: str
    city: str
    box: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """The answer. Names may be empty; the operators of both mappings are the same."""

    operators: dict[str, Counts]
    last: dict[str, Last]
    clients: dict[str, Counts]
    cities: list[str]


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, counting days in `zone`; another zone needs a rebuild."""
    return Projection(
        name="activity",
        tables=("activity",),
        topics=(ingest.SCANS,),
        codec=Codec(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Count the scans."""
    scans = [
        (envelope.tenant, day_of(scan.effective_at, zone), scan)
        for envelope in events
        if isinstance(scan := envelope.event, ScanRecorded)
    ]
    if rows := _folded(scans):
        columns = zip(*((*key, n, *newest) for key, (n, newest) in rows.items()), strict=True)
        await connection.execute(ADD, *columns)


async def answer(connection: Any, question: Question) -> Activity:
    """Everything counted, in two queries whose work is bounded by the rows of `activity`."""
    operators: dict[str, Counts] = {}
    clients: dict[str, Counts] = {}
    cities: list[str] = []
    for row in await query.fetch(connection, _totals(question)):
        counts = Counts(*row[4:])
        match row["level"]:
            case 0b011:
                operators[row["operator"]] = counts
            case 0b101:
                clients[row["client"]] = counts
            case _:
                cities.append(row["city"])
    last = {
        row["operator"]: Last(
            client=row["client"],
            city=row["city"],
            box=row["last_box"],
            received_at=row["last_received_at"],
        )
        for row in await query.fetch(connection, _last(question))
    }
    return Activity(operators=operators, last=last, clients=clients, cities=cities)


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


def _folded(scans: Sequence[tuple[str, date, ScanRecorded]]) -> dict[_Key, tuple[int, _Newest]]:
    """One row per key, so that no key is updated twice in a statement."""
    rows: dict[_Key, tuple[int, _Newest]] = {}
    for tenant, day, scan in scans:
        key = (tenant, day, scan.operator, scan.client, scan.city, scan.kind)
        newest: _Newest = (scan.received_at, scan.effective_at, scan.scan_id, scan.box)
        count, known = rows.get(key, (0, newest))
        rows[key] = (count + 1, max(newest, known))
    return rows


def _matching(question: Question) -> Any:
    days = question.days
    return and_(asked(ACTIVITY, question), ACTIVITY.c.day.between(days.first, days.last))


def _totals(question: Question) -> Select[Any]:
    columns = (ACTIVITY.c.operator, ACTIVITY.c.client, ACTIVITY.c.city)
    kinds = ("ITEM", "BOX", "CLOSE", "AUTO_CLOSE", "ERROR")
    sums = (func.sum(ACTIVITY.c.count).filter(ACTIVITY.c.kind == kind) for kind in kinds)
    return (
        select(
            func.grouping(*columns).label("level"),
            *columns,
            *(func.coalesce(cast(each, BigInteger), 0) for each in sums),
        )
        .where(_matching(question))
        .group_by(func.grouping_sets(*columns))
    )


def _last(question: Question) -> Select[Any]:
    c = ACTIVITY.c
    return (
        select(c.operator, c.client, c.city, c.last_box, c.last_received_at)
        .ext(distinct_on(c.operator))
        .where(_matching(question))
        .order_by(c.operator, *(column.desc() for column in LATEST))
    )
