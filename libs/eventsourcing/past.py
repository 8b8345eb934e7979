"""What the log held at an earlier instant: the SQL behind `Log.entries`, `Log.at`, `Log.newest`.

The log knows by `recorded_at` what was known when. It is the beginning of the transaction that
wrote, so what was being written at that very instant may still be added to the answer.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from libs.eventsourcing.log import Entry, RecordedEvent
from libs.eventsourcing.rows import recorded_events
from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.statements import COLUMNS

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
SELECT newest.* FROM unnest($2::text[]) AS wanted (stream),
LATERAL (
    SELECT {COLUMNS} FROM events
    WHERE events.tenant = $1 AND events.stream = wanted.stream AND version IS NULL
        AND recorded_at <= $3
    ORDER BY recorded_at DESC LIMIT $4
) AS newest
"""  # noqa: S608

INDEXES: Final = (
    "CREATE INDEX events_occurred ON events (tenant, occurred_at, position)",
    """CREATE INDEX events_facts_of_stream ON events (tenant, stream, recorded_at)
        WHERE version IS NULL""",
)
"""For the migrations of services that look back. Both grow at their right ends, the second at one
end for each stream, so that writing keeps to few pages."""


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
    found = {event.position: event for event in recorded_events(await fetch(AT, positions))}
    return [found[position] for position in positions]


async def newest(
    fetch: Fetch, tenant: str, streams: Sequence[str], known_at: datetime, each: int
) -> Sequence[RecordedEvent]:
    """See `Log.newest`."""
    return recorded_events(await fetch(NEWEST, tenant, streams, known_at, each))
