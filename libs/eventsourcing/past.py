"""Reading the log as of an earlier instant: the SQL of `Log.entries`, `Log.at` and `Log.newest`.

An event was known from its `recorded_at` on. That is the start of the transaction that wrote it, so
events that were being written at an instant may be added to later answers for it.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from libs.eventsourcing.log import Entry, RecordedEvent
from libs.eventsourcing.rows import COLUMNS, recorded_events
from libs.eventsourcing.snapshot import Snapshot

Fetch: TypeAlias = Callable[..., Awaitable[Sequence[Any]]]

ENTRIES: Final = """
SELECT position, event_id, type, recorded_at FROM events
WHERE tenant = $1 AND occurred_at >= $2 AND occurred_at < $3
    AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
ORDER BY recorded_at, position
"""

LATER_ENTRIES: Final = """
SELECT position, event_id, type, recorded_at FROM events
WHERE tenant = $1 AND xid >= $5::text::xid8
    AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(xid, $6::text::pg_snapshot)
    AND ((occurred_at >= $2 AND occurred_at < $3) OR type = $7)
ORDER BY recorded_at, position
"""

AT: Final = f"SELECT {COLUMNS} FROM events WHERE position = ANY($1::bigint[])"  # noqa: S608

NEWEST: Final = f"""
SELECT newest.* FROM unnest($2::text[]) AS given (stream),
LATERAL (
    SELECT {COLUMNS} FROM events
    WHERE events.tenant = $1 AND events.stream = given.stream AND version IS NULL
        AND recorded_at <= $3
    ORDER BY recorded_at DESC LIMIT $4
) AS newest
"""  # noqa: S608

INDEXES: Final = (
    "CREATE INDEX events_occurred ON events (tenant, occurred_at, position)",
    """CREATE INDEX events_facts_of_stream ON events (tenant, stream, recorded_at)
        WHERE version IS NULL""",
)
"""For the migrations of services that read as of earlier instants. Inserts go to the right end of
the first, and to one end for each stream of the second, so that few pages are written."""


async def entries(
    fetch: Fetch, tenant: str, since: datetime, until: datetime, moment: Snapshot
) -> Sequence[Entry]:
    """See `Log.entries`."""
    rows = await fetch(ENTRIES, tenant, since, until, str(moment))
    return [Entry(*row) for row in rows]


async def later_entries(
    fetch: Fetch,
    tenant: str,
    since: datetime,
    until: datetime,
    moment: Snapshot,
    *,
    after: Snapshot,
    also: str,
) -> Sequence[Entry]:
    """See `Log.later_entries`."""
    seen = str(after.xmin), str(after)
    rows = await fetch(LATER_ENTRIES, tenant, since, until, str(moment), *seen, also)
    return [Entry(*row) for row in rows]


async def at(fetch: Fetch, positions: Sequence[int]) -> Sequence[RecordedEvent]:
    """See `Log.at`."""
    events = {event.position: event for event in recorded_events(await fetch(AT, positions))}
    return [events[position] for position in positions]


async def newest(
    fetch: Fetch, tenant: str, streams: Sequence[str], known_at: datetime, limit: int
) -> Sequence[RecordedEvent]:
    """See `Log.newest`."""
    return recorded_events(await fetch(NEWEST, tenant, streams, known_at, limit))
