"""What arrived and could not be understood?"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, bindparam, func, select

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ScanQuarantined
from libs.eventsourcing.codec import Codec
from libs.messaging.projection import Connection, Projection
from libs.postgres import query

QUARANTINE: Final = Table(
    "quarantine",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("quarantine_id", Uuid, primary_key=True),
    Column("scan_id", Uuid),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
)
"""`quarantine_id` is the id of the event in the log."""

KEEP: Final = """
INSERT INTO quarantine
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
    $7::timestamptz[]) ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""


def projection() -> Projection[IngestEvent]:
    """The projection."""
    return Projection(
        name="quarantine",
        tables=("quarantine",),
        topics=(ingest.QUARANTINE,),
        codec=Codec(ingest.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Keep a row of everything quarantined."""
    rows = [
        (
            envelope.tenant,
            envelope.event_id,
            kept.scan_id,
            kept.code,
            kept.reason,
            kept.raw,
            kept.received_at,
        )
        for envelope in events
        if isinstance(kept := envelope.event, ScanQuarantined)
    ]
    if rows:
        await connection.execute(KEEP, *zip(*rows, strict=True))


async def page(connection: Any, tenant: str, *, limit: int, offset: int) -> Sequence[query.Row]:
    """Rows with the columns of `QUARANTINE`, newest first."""
    asked = _NEWEST.limit(limit).offset(offset)
    return await query.fetch(connection, asked, tenant=tenant)


async def count(connection: Any, tenant: str) -> int:
    """How many there are."""
    found: int = await query.fetchval(connection, _COUNT, tenant=tenant)
    return found


_NEWEST: Final = (
    select(QUARANTINE)
    .where(QUARANTINE.c.tenant == bindparam("tenant"))
    .order_by(QUARANTINE.c.received_at.desc(), QUARANTINE.c.quarantine_id)
)
_COUNT: Final = (
    select(func.count()).select_from(QUARANTINE).where(QUARANTINE.c.tenant == bindparam("tenant"))
)
