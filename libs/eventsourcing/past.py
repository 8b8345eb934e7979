"""The SQL that reads the log as of an earlier instant: `Log.entries`, `Log.at`, `Log.newest`.

An event was known from its `recorded_at` on. That is the start of the transaction that wrote it, so
events that were being written at an instant may be added to later answers for it.
"""

from typing import Final

from libs.eventsourcing.rows import COLUMNS

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
