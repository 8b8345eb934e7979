"""What was scanned, row by row?

Two indexes serve pages of a day, each ending in the order of the answer: one for everything, and
one for the groups of an operator, a client and a kind. `scan_count` knows which
groups have rows within a window, so whatever is asked of these, only rows that match are read. A
removed item keeps its row, which is not shown any more; the audit of a removal is a row too.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    MetaData,
    Select,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import (
    IngestEvent,
    ItemRemoved,
    RemovalRecorded,
    ScanRecorded,
)
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.columns import columns
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain.day import Days, day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import ITEM, as_scan
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import filters_of, parametrized_condition, values
from services.ingest.scans.read_models.scan_count import HOUR, MINUTE, SCAN_COUNT, Window

SCAN_LOG: Final = Table(
    "scan_log",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("scan_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("box", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("details", Text),
    Column("source", Text, nullable=False),
    Column("scanned_at", DateTime(timezone=True), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("effective_at", DateTime(timezone=True), nullable=False),
    Column("skewed", Boolean, nullable=False),
    Column("removed_at", DateTime(timezone=True)),
)
"""`day` is that of `effective_at`. It stands in the key so that the key stays unique when the
table is cut by days, and so that inserts touch the same few pages of it."""

UPSERT: Final = f"""
WITH kept AS (
    INSERT INTO scan_log AS known
    SELECT * FROM unnest($1::text[], $2::date[], $3::uuid[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[],
        $13::timestamptz[], $14::timestamptz[], $15::boolean[], $16::timestamptz[]) ORDER BY 1, 2, 3
    ON CONFLICT (tenant, day, scan_id) DO UPDATE SET removed_at = excluded.removed_at
    WHERE excluded.removed_at IS NOT NULL AND known.removed_at IS NULL
        AND known.kind = excluded.kind
    RETURNING known.tenant, known.day, known.received_at, known.operator, known.client, known.city,
        known.kind, CASE
            -- It was there: only rows that were updated have an xmax.
            WHEN known.xmax <> '0' THEN -1
            WHEN known.removed_at IS NULL THEN 1
            ELSE 0
        END AS live
), minutes AS (
    SELECT tenant, day, date_bin('1 minute', received_at, 'epoch') AS since, operator, client, city,
        kind, sum(live)::bigint AS live
    FROM kept GROUP BY 1, 2, 3, 4, 5, 6, 7
), named AS ({operator_name.upsert(first=17)})
INSERT INTO scan_count AS known
SELECT tenant, day, {MINUTE}::smallint, since, operator, client, city, kind, live FROM minutes
UNION ALL
SELECT tenant, day, {HOUR}::smallint, date_bin('1 hour', since, 'epoch'), operator, client, city,
    kind, sum(live)::bigint
FROM minutes GROUP BY 1, 2, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (tenant, day, minutes, since, operator, client, city, kind)
DO UPDATE SET count = known.count + excluded.count
"""  # noqa: S608 -- numbers and parameters
"""A row never changes but by being removed, which happens once; whichever is told first, the scan
or its removal, the row comes out the same. What is shown more or less is counted with it."""


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, sorting into days of `zone`; another zone needs a rebuild."""
    return Projection(
        name="scan_log",
        tables=("scan_log", "scan_count", "operator_name"),
        topics=(ingest.SCANS, ingest.REMOVALS),
        codec=codec_of(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Keep a row of every scan and of every removal, and how their operators are written."""
    rows: dict[tuple[object, ...], tuple[object, ...]] = {}
    spellings: operator_name.Spellings = {}
    for envelope in events:
        if logged := _logged(envelope.event):
            scan, removed_at = logged
            row = _row(envelope.tenant, scan, removed_at, zone)
            moments = scan.received_at, scan.scanned_at
            operator_name.add(spellings, envelope.tenant, scan.operator, moments)
            known = rows.setdefault(row[:3], row)
            # Once per statement; a removal outdoes the scan it is about, and nothing else.
            if removed_at and known[3] == row[3]:
                rows[row[:3]] = row
    if rows:
        await connection.execute(
            UPSERT, *columns(rows.values()), *operator_name.parameters(spellings)
        )


async def page(
    connection: Any,
    question: ScanFilter,
    *,
    kind: str | None = None,
    limit: int,
    within: Window | None = None,
) -> Sequence[query.Row]:
    """Live rows with the columns of `SCAN_LOG`, newest first: by receipt, device's clock, id.

    The first `limit` of them, or of those `within` a window.
    """
    skip = within.skip if within else 0
    given = values(question) | {"days": _each(question.days), "limit": limit, "offset": skip}
    given |= {"each": skip + limit} | ({} if kind is None else {"kind": kind})
    filters = filters_of(question)
    # Nearly all scans are items: among everything they are found at once.
    grouped = bool({"operator", "client"} & {*filters}) or kind not in (None, ITEM)
    if within:
        given |= {"since": within.since, "until": within.until}
    if within and grouped:
        given["hour"] = within.since - timedelta(minutes=HOUR)
    asked_for = _page(filters, kind is not None, within is not None, grouped)
    return await query.fetch(connection, asked_for, **given)


def _logged(event: IngestEvent) -> tuple[ScanRecorded, datetime | None] | None:
    """The scan an event is about, and when it was removed."""
    match event:
        case ScanRecorded():
            return event, None
        case ItemRemoved(scan=scan, removed_at=removed_at):
            return scan, removed_at
        case RemovalRecorded():
            return as_scan(event), None
        case _:
            return None


def _row(
    tenant: str, scan: ScanRecorded, removed_at: datetime | None, zone: ZoneInfo
) -> tuple[object, ...]:
    return (
        tenant,
        day_of(scan.effective_at, zone),
        scan.scan_id,
        scan.kind,
        comparable(scan.operator),
        scan.client,
        scan.city,
        scan.box,
        scan.code,
        scan.details,
        scan.source,
        scan.scanned_at,
        scan.received_at,
        scan.effective_at,
        scan.skewed,
        removed_at,
    )


@cache
def _page(filters: tuple[str, ...], of_a_kind: bool, within: bool, grouped: bool) -> Select[Any]:
    each = _groups(filters, of_a_kind, within) if grouped else _every_day()
    same = (SCAN_LOG.c[name] == each.c[name] for name in each.c.keys())  # noqa: SIM118
    of_each = select(SCAN_LOG).where(
        parametrized_condition(SCAN_LOG, filters), *same, SCAN_LOG.c.removed_at.is_(None)
    )
    if of_a_kind:
        of_each = of_each.where(SCAN_LOG.c.kind == bindparam("kind"))
    if within:
        received_at = SCAN_LOG.c.received_at
        of_each = of_each.where(received_at >= bindparam("since"), received_at < bindparam("until"))
    newest = of_each.order_by(*_newest_first(SCAN_LOG)).limit(bindparam("each")).lateral("newest")
    columns, source = operator_name.with_spelling(
        newest, "operator", source=each.join(newest, true())
    )
    return (
        select(*columns)
        .select_from(source)
        .order_by(*_newest_first(newest))
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )


def _every_day() -> Any:
    listed = func.unnest(bindparam("days", type_=ARRAY(Date)))
    return listed.table_valued(column("day", Date)).render_derived(name="each")


def _groups(filters: tuple[str, ...], of_a_kind: bool, within: bool) -> Any:
    """The groups that have rows of these days, within the window if there is one."""
    c = SCAN_COUNT.c
    groups = select(c.day, c.operator, c.client, c.kind).where(
        parametrized_condition(SCAN_COUNT, filters),
        c.day == any_(bindparam("days", type_=ARRAY(Date))),
        c.minutes == HOUR,
    )
    if of_a_kind:
        groups = groups.where(c.kind == bindparam("kind"))
    if within:
        groups = groups.where(c.since > bindparam("hour"), c.since < bindparam("until"))
    return groups.distinct().subquery("each")


def _newest_first(rows: Any) -> tuple[ColumnElement[Any], ...]:
    return rows.c.received_at.desc(), rows.c.scanned_at.desc(), rows.c.scan_id


def _each(days: Days) -> list[Any]:
    return [days.first + timedelta(days=n) for n in range(len(days))]
