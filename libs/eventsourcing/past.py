"""What the log held at an earlier instant: the SQL behind `Log.read_occurred` and `Log.newest`.

The log knows by `recorded_at` what was known when. It is the beginning of the transaction that
wrote, so what was being written at that very instant may still be added to the answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from libs.eventsourcing.log import RecordedEvent, Span
from libs.eventsourcing.rows import recorded_event
from libs.eventsourcing.statements import COLUMNS

Fetch: TypeAlias = Callable[..., Awaitable[Sequence[Any]]]
Pages: TypeAlias = AsyncIterator[Sequence[RecordedEvent]]

OCCURRED: Final = f"""
SELECT {COLUMNS} FROM events
WHERE tenant = $1 AND occurred_at >= $2 AND (occurred_at, position) > ($2, $3)
    AND occurred_at < $4 AND recorded_at <= $5
ORDER BY occurred_at, position LIMIT $6
"""  # noqa: S608

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


async def occurred(fetch: Fetch, tenant: str, span: Span, page: int) -> Pages:
    """See `Log.read_occurred`."""
    since, after = span.since, 0
    while True:
        rows = await fetch(OCCURRED, tenant, since, after, span.until, span.known_at, page)
        if rows:
            yield [recorded_event(row) for row in rows]
        if len(rows) < page:
            return
        since, after = rows[-1]["occurred_at"], rows[-1]["position"]


async def newest(
    fetch: Fetch, tenant: str, streams: Sequence[str], known_at: datetime, each: int
) -> Sequence[RecordedEvent]:
    """See `Log.newest`."""
    return [recorded_event(row) for row in await fetch(NEWEST, tenant, streams, known_at, each)]
