"""Which items were removed, by whom and why?

One row per item, with the whole scan as it was. `day` is that of the removal.
"""

from collections.abc import Sequence
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
    Table,
    Text,
    Uuid,
    and_,
    func,
    select,
)

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.columns import columns
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter, named
from services.ingest.scans.read_models import operator_name

REMOVAL: Final = Table(
    "removal",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("scan_id", Uuid, primary_key=True),
    Column("removal_id", Uuid, nullable=False),
    Column("removed_at", DateTime(timezone=True), nullable=False),
    Column("removed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
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
"""From `kind` on the columns are those of the scan, named as in `scan_log`."""

UPSERT: Final = """
INSERT INTO removal
SELECT * FROM unnest($1::text[], $2::date[], $3::uuid[], $4::uuid[], $5::timestamptz[],
    $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
    $13::text[], $14::text[], $15::text[], $16::timestamptz[], $17::timestamptz[],
    $18::timestamptz[], $19::boolean[]) ORDER BY 1, 3
ON CONFLICT DO NOTHING
"""


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, sorting into days of `zone`; another zone needs a rebuild.

    The fact about each item says everything, so the audits' own topic is not read.
    """
    return Projection(
        name="removal",
        tables=("removal",),
        topics=(ingest.SCANS,),
        codec=codec_of(ingest.EVENTS),
        # An audit, of something rare among the scans.
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Keep a row of every removed item."""
    rows = [
        _row(envelope.tenant, envelope.event, zone)
        for envelope in events
        if isinstance(envelope.event, ItemRemoved)
    ]
    if rows:
        await connection.execute(UPSERT, *columns(rows))


async def page(
    connection: Any, question: ScanFilter, *, limit: int, offset: int = 0
) -> Sequence[query.Row]:
    """Rows with the columns of `REMOVAL`, the latest removed first.

    The question's days are those of the removal, its operator who removed, its client and city
    those of the item.
    """
    c = REMOVAL.c
    # The day first, because the index knows it; it never disagrees with the time.
    newest = (c.day.desc(), c.removed_at.desc(), c.scan_id)
    found = select(c.tenant, c.scan_id).where(_matching(question)).order_by(*newest)
    # What is passed over is passed over in the index.
    keys = found.limit(limit).offset(offset).subquery()
    columns, source = operator_name.with_spelling(REMOVAL, "operator", "removed_by")
    page = source.join(keys, and_(c.tenant == keys.c.tenant, c.scan_id == keys.c.scan_id))
    return await query.fetch(connection, select(*columns).select_from(page).order_by(*newest))


async def count(connection: Any, question: ScanFilter) -> int:
    """How many match on all pages."""
    matching = select(func.count()).select_from(REMOVAL).where(_matching(question))
    found: int = await query.fetchval(connection, matching)
    return found


def _matching(question: ScanFilter) -> ColumnElement[bool]:
    c, days = REMOVAL.c, question.days
    filters = {c.removed_by: question.operator, c.client: question.client, c.city: question.city}
    return and_(
        c.tenant == question.tenant,
        c.day.between(days.first, days.last),
        *(column == value for column, value in filters.items() if value is not None),
    )


def _row(tenant: str, event: ItemRemoved, zone: ZoneInfo) -> tuple[object, ...]:
    scan = event.scan
    return (
        tenant,
        day_of(event.removed_at, zone),
        scan.scan_id,
        event.removal_id,
        event.removed_at,
        comparable(named(event.removed_by)),
        event.reason,
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
