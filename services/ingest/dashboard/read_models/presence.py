"""When did each operator send the last scan?

Scans of any day count. Removals on a dashboard in an operator's name do not.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, DateTime, MetaData, Table, Text

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection

PRESENCE: Final = Table(
    "presence",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
)

SAVE: Final = upsert(PRESENCE, newer="last_seen_at")
AMONG: Final = """
SELECT operator, last_seen_at FROM presence WHERE tenant = $1 AND operator = ANY($2::text[])
"""


def projection() -> Projection[IngestEvent]:
    """The projection."""
    return Projection(
        name="presence",
        tables=("presence",),
        topics=(ingest.SCANS,),
        codec=codec_of(ingest.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Store the latest receive time of each operator."""
    latest: dict[tuple[str, str], datetime] = {}
    for envelope in events:
        if sign := sign_of_life(envelope.event):
            operator, moment = sign
            key = envelope.tenant, comparable(operator)
            if key not in latest or moment > latest[key]:
                latest[key] = moment
    await SAVE.put(connection, ((*key, moment) for key, moment in latest.items()))


def sign_of_life(event: IngestEvent) -> tuple[str, datetime] | None:
    """The operator that sent an event, and when it was received; None for other events."""
    if isinstance(event, ScanRecorded) and event.source != "dashboard":
        return event.operator, event.received_at
    return None


async def last_seen(connection: Any, tenant: str, operators: Sequence[str]) -> dict[str, datetime]:
    """The last receive times by operator, in any spelling; operators without one are missing."""
    spelled = {comparable(name): name for name in operators}
    rows = await query.fetch(connection, AMONG, tenant, list(spelled))
    return {spelled[row["operator"]]: row["last_seen_at"] for row in rows}
