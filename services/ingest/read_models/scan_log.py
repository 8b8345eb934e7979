"""What was scanned, row by row?

Every index begins with the day and ends in the order of the answer, so a page of one day reads
as many rows as it shows; a page of several days reads as many from each.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
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
    bindparam,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.messaging.projection import Connection, Projection
from libs.postgres import query
from services.ingest.domain.day import Days, day_of
from services.ingest.domain.question import Question
from services.ingest.read_models.conditions import asked

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
)
"""`day` is that of `effective_at`. It stands in the key so that the key stays unique when the
table is cut by days, and so that inserts touch the same few pages of it."""

KEEP: Final = """
INSERT INTO scan_log
SELECT * FROM unnest($1::text[], $2::date[], $3::uuid[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[],
    $13::timestamptz[], $14::timestamptz[], $15::boolean[]) ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
"""


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, sorting into days of `zone`; another zone needs a rebuild."""
    return Projection(
        name="scan_log",
        tables=("scan_log",),
        topics=(ingest.SCANS,),
        codec=Codec(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Keep a row of every scan."""
    rows = [
        _row(envelope.tenant, envelope.event, zone)
        for envelope in events
        if isinstance(envelope.event, ScanRecorded)
    ]
    if rows:
        await connection.execute(KEEP, *zip(*rows, strict=True))


async def page(
    connection: Any,
    question: Question,
    *,
    kind: str | None = None,
    limit: int,
    offset: int = 0,
) -> Sequence[query.Row]:
    """Rows with the columns of `SCAN_LOG`, newest first: by receive time, own time, id."""
    asked_for = _page(question, kind, limit, offset)
    return await query.fetch(connection, asked_for, days=_each(question.days))


def _row(tenant: str, scan: ScanRecorded, zone: ZoneInfo) -> tuple[object, ...]:
    return (
        tenant,
        day_of(scan.effective_at, zone),
        scan.scan_id,
        scan.kind,
        scan.operator,
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


def _page(question: Question, kind: str | None, limit: int, offset: int) -> Select[Any]:
    listed = func.unnest(bindparam("days", type_=ARRAY(Date)))
    each = listed.table_valued(column("day", Date)).render_derived(name="each")
    of_a_day = select(SCAN_LOG).where(asked(SCAN_LOG, question), SCAN_LOG.c.day == each.c.day)
    if kind is not None:
        of_a_day = of_a_day.where(SCAN_LOG.c.kind == kind)
    newest = of_a_day.order_by(*_newest_first(SCAN_LOG)).limit(offset + limit).lateral("newest")
    return (
        select(newest)
        .select_from(each)
        .join(newest, true())
        .order_by(*_newest_first(newest))
        .limit(limit)
        .offset(offset)
    )


def _newest_first(rows: Any) -> tuple[ColumnElement[Any], ...]:
    return rows.c.received_at.desc(), rows.c.effective_at.desc(), rows.c.scan_id


def _each(days: Days) -> list[Any]:
    return [days.first + timedelta(days=n) for n in range(len(days))]
