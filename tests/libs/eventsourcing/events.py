"""Events to append, and everything a log holds."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
from msgspec import structs

from libs.eventsourcing.log import Log, Metadata, NewEvent, NewFact, RecordedEvent

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
METADATA = Metadata(tenant="demo", actor="anna", correlation_id="c1", traceparent="00-1-1-01")


def new(
    event_id: UUID | None = None, data: bytes = b'{"n": 1}', *, type: str = "Tried"
) -> NewEvent:
    return NewEvent(
        event_id=event_id or uuid4(), type=type, schema_version=1, data=data, occurred_at=WHEN
    )


def fact(
    event_id: UUID | None = None,
    data: bytes = b'{"n": 1}',
    *,
    type: str = "Seen",
    stream: str = "scan-1",
    occurred_at: datetime = WHEN,
) -> NewFact:
    event = structs.replace(new(event_id, data, type=type), occurred_at=occurred_at)
    return NewFact(**structs.asdict(event), stream=stream)


async def everything(log: Log, page: int = 1000) -> list[RecordedEvent]:
    return [event async for events in log.read_all(page=page) for event in events]


async def plan_of(pool: asyncpg.Pool, query: str, *arguments: object) -> str:
    """The plan of a query, after `ANALYZE`."""
    await pool.execute("ANALYZE events")
    rows = await pool.fetch(f"EXPLAIN (COSTS OFF) {query}", *arguments)
    return "\n".join(row[0] for row in rows)
