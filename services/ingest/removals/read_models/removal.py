"""Which items were removed, by whom and why?

One row for each removed item, with its whole scan.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
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
from libs.postgres.upsert import insert_missing
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import condition
from services.ingest.scans.read_models.scan_log import scan_columns, scan_values

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
    *scan_columns(),
)
"""`day` is the day of `removed_at`; `operator` is the one of the scan."""

SAVE: Final = insert_missing(REMOVAL)


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, with days in `zone`; another zone needs a rebuild.

    The fact of each item has all fields, so the topic of audits is not needed.
    """
    return Projection(
        name="removal",
        tables=("removal",),
        topics=(ingest.SCANS,),
        codec=codec_of(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Store a row for every removed item."""
    await SAVE.put(
        connection,
        (
            _row(envelope.tenant, envelope.event, zone)
            for envelope in events
            if isinstance(envelope.event, ItemRemoved)
        ),
    )


async def page(
    connection: Any, scan_filter: ScanFilter, *, limit: int, offset: int = 0
) -> Sequence[query.Row]:
    """Rows with the columns of `REMOVAL`, the last removed first.

    The filter's days and operator are those of the removal, its client and city those of the item.
    """
    c = REMOVAL.c
    # The day is first because the index begins with it; it agrees with the time.
    newest = (c.day.desc(), c.removed_at.desc(), c.scan_id)
    page_keys = select(c.tenant, c.scan_id).where(_matching(scan_filter)).order_by(*newest)
    # The offset skips index entries, not rows.
    keys = page_keys.limit(limit).offset(offset).subquery()
    columns, source = operator_name.with_spelling(REMOVAL, "operator", "removed_by")
    rows = source.join(keys, and_(c.tenant == keys.c.tenant, c.scan_id == keys.c.scan_id))
    return await query.fetch(connection, select(*columns).select_from(rows).order_by(*newest))


async def count(connection: Any, scan_filter: ScanFilter) -> int:
    """The number of rows that match, on all pages."""
    matching = select(func.count()).select_from(REMOVAL).where(_matching(scan_filter))
    total: int = await query.fetchval(connection, matching)
    return total


def _matching(scan_filter: ScanFilter) -> ColumnElement[bool]:
    days = scan_filter.days
    return and_(
        condition(REMOVAL, scan_filter, operator="removed_by"),
        REMOVAL.c.day.between(days.first, days.last),
    )


def _row(tenant: str, event: ItemRemoved, zone: ZoneInfo) -> tuple[object, ...]:
    scan = event.scan
    return (
        tenant,
        day_of(event.removed_at, zone),
        scan.scan_id,
        event.removal_id,
        event.removed_at,
        comparable(event.removed_by),
        event.reason,
        *scan_values(scan),
    )
