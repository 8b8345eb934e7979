"""What was scanned, row by row?

Two indexes serve the pages of a day, each ending in the order of the page: one of all rows, one of
the groups of operator, client and kind. `scan_count` names the groups that have rows within a
window, so only rows that match are read. A removed item keeps its row, which is hidden; the audit
of a removal is a row too.
"""

from collections.abc import Sequence
from datetime import timedelta
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
from contracts.ingest import IngestEvent, ItemRemoved, ScanRecorded
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import ITEM, logged_scan
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import filters_of, parametrized_condition, values
from services.ingest.scans.read_models.scan_count import HOUR, MINUTE, SCAN_COUNT, Window


def scan_columns() -> list[Column[Any]]:
    """New columns for the fields of a scan apart from its id; `scan_values` has their values."""
    return [
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
    ]


def scan_values(scan: ScanRecorded) -> tuple[object, ...]:
    """The values of `scan_columns`; the operator as a comparable name."""
    return (
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
    )


SCAN_LOG: Final = Table(
    "scan_log",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("scan_id", Uuid, primary_key=True),
    *scan_columns(),
    Column("removed_at", DateTime(timezone=True)),
)
"""`day` is the day of `effective_at`. It is in the key so that the table can be partitioned by day,
and so that inserts touch few pages of the index."""

_SAVE: Final = upsert(
    SCAN_LOG,
    insert_only=[column.name for column in scan_columns()],
    where="excluded.removed_at IS NOT NULL AND known.removed_at IS NULL"
    " AND known.kind = excluded.kind",
)
_STORED: Final = _SAVE.sql(
    returning="""known.tenant, known.day, known.received_at, known.operator, known.client,
    known.city, known.kind, CASE
        -- Updated: only rows that existed have an xmax.
        WHEN known.xmax <> '0' THEN -1
        WHEN known.removed_at IS NULL THEN 1
        ELSE 0
    END AS live"""
)
UPSERT: Final = f"""
WITH stored AS (
{_STORED}
), minutes AS (
    SELECT tenant, day, date_bin('1 minute', received_at, 'epoch') AS since, operator, client, city,
        kind, sum(live)::bigint AS live
    FROM stored GROUP BY 1, 2, 3, 4, 5, 6, 7
), named AS (
{operator_name.SAVE.sql(first=len(_SAVE.columns) + 1)}
)
INSERT INTO scan_count AS known
    (tenant, day, minutes, since, operator, client, city, kind, count)
SELECT tenant, day, {MINUTE}::smallint, since, operator, client, city, kind, live FROM minutes
UNION ALL
SELECT tenant, day, {HOUR}::smallint, date_bin('1 hour', since, 'epoch'), operator, client, city,
    kind, sum(live)::bigint
FROM minutes GROUP BY 1, 2, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (tenant, day, minutes, since, operator, client, city, kind)
DO UPDATE SET count = known.count + excluded.count
"""  # noqa: S608 -- numbers and parameters
"""A row changes once at most: its item is removed. Scan and removal may arrive in any order. The
statement also updates the counts of live rows."""


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, with days in `zone`; another zone needs a rebuild."""
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
    """Store a row for every scan and every audit, and the spellings of their operators."""
    rows: dict[tuple[object, ...], tuple[object, ...]] = {}
    spellings: operator_name.Spellings = {}
    for envelope in events:
        if scan := logged_scan(envelope.event):
            removal = envelope.event if isinstance(envelope.event, ItemRemoved) else None
            removed_at = removal and removal.removed_at
            day = day_of(scan.effective_at, zone)
            row = (envelope.tenant, day, scan.scan_id, *scan_values(scan), removed_at)
            moments = scan.received_at, scan.scanned_at
            operator_name.add(spellings, envelope.tenant, scan.operator, moments)
            known = rows.setdefault(row[:3], row)
            # One row for a key in a statement; a removal replaces the row of its own scan only.
            if removed_at and known[3] == row[3]:
                rows[row[:3]] = row
    if rows:
        names = operator_name.SAVE.parameters(operator_name.rows_of(spellings))
        await connection.execute(UPSERT, *_SAVE.parameters(rows.values()), *names)


async def page(
    connection: Any,
    scan_filter: ScanFilter,
    *,
    kind: str | None = None,
    limit: int,
    within: Window | None = None,
) -> Sequence[query.Row]:
    """The first `limit` live rows, newest first: by receive time, device's clock, id.

    With `within` only the rows of that window. The columns are those of `SCAN_LOG`.
    """
    skip = within.skip if within else 0
    parameters = values(scan_filter) | {
        "days": list(scan_filter.days),
        "limit": limit,
        "offset": skip,
    }
    parameters |= {"group_limit": skip + limit} | ({} if kind is None else {"kind": kind})
    filters = filters_of(scan_filter)
    # Nearly all scans are items: for them the index of all rows is as good.
    grouped = bool({"operator", "client"} & {*filters}) or kind not in (None, ITEM)
    if within:
        parameters |= {"since": within.since, "until": within.until}
    if within and grouped:
        parameters["hour"] = within.since - timedelta(minutes=HOUR)
    page_query = _page(filters, kind is not None, within is not None, grouped)
    return await query.fetch(connection, page_query, **parameters)


@cache
def _page(filters: tuple[str, ...], of_a_kind: bool, within: bool, grouped: bool) -> Select[Any]:
    groups = _groups(filters, of_a_kind, within) if grouped else _all_days()
    same = (SCAN_LOG.c[name] == groups.c[name] for name in groups.c.keys())  # noqa: SIM118
    of_group = select(SCAN_LOG).where(
        parametrized_condition(SCAN_LOG, filters), *same, SCAN_LOG.c.removed_at.is_(None)
    )
    if of_a_kind:
        of_group = of_group.where(SCAN_LOG.c.kind == bindparam("kind"))
    if within:
        received_at = SCAN_LOG.c.received_at
        of_group = of_group.where(
            received_at >= bindparam("since"), received_at < bindparam("until")
        )
    newest = (
        of_group.order_by(*_newest_first(SCAN_LOG))
        .limit(bindparam("group_limit"))
        .lateral("newest")
    )
    columns, source = operator_name.with_spelling(
        newest, "operator", source=groups.join(newest, true())
    )
    return (
        select(*columns)
        .select_from(source)
        .order_by(*_newest_first(newest))
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )


def _all_days() -> Any:
    days = func.unnest(bindparam("days", type_=ARRAY(Date)))
    return days.table_valued(column("day", Date)).render_derived(name="groups")


def _groups(filters: tuple[str, ...], of_a_kind: bool, within: bool) -> Any:
    """The groups with rows of these days, within the window if there is one."""
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
    return groups.distinct().subquery("groups")


def _newest_first(rows: Any) -> tuple[ColumnElement[Any], ...]:
    return rows.c.received_at.desc(), rows.c.scanned_at.desc(), rows.c.scan_id
