"""The SQL of the log."""

from typing import Final

COLUMNS: Final = """position, xid::text::bigint AS xid, event_id, tenant, stream, version, type,
    schema_version, data, metadata, occurred_at, recorded_at"""

INSERT: Final = """
INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
SELECT event_id, tenant, stream, version, type, schema_version, data::jsonb, metadata::jsonb,
    occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::smallint[],
    $7::text[], $8::text[], $9::timestamptz[])
    AS given (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
ON CONFLICT DO NOTHING
RETURNING event_id, version, xid::text::bigint AS xid
"""
"""All rows at once, in the order given (see `plan.Row.sort_key`), skipping what is known."""

QUEUE: Final = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(head, 0) AS key FROM unnest($1::text[]) AS head ORDER BY 1)
"""
"""Wait for one's turn at the streams, in one order, until the transaction ends."""

KNOWN: Final = """
SELECT event_id, tenant, stream, version, xid::text::bigint AS xid
FROM events WHERE event_id = ANY($1::uuid[])
"""

STANDING: Final = f"""
SELECT NULL::uuid AS event_id, tenant, stream, last.version, NULL::bigint AS xid
FROM unnest($1::text[], $2::text[]) AS head (tenant, stream),
LATERAL (
    SELECT events.version FROM events
    WHERE events.tenant = head.tenant AND events.stream = head.stream
        AND events.version IS NOT NULL
    ORDER BY events.version DESC LIMIT 1
) AS last
UNION ALL {KNOWN.replace("$1", "$3")}
"""  # noqa: S608
"""The versions of streams, as rows without an id, and the events that are known: of one moment."""

FIND: Final = f"SELECT {COLUMNS} FROM events WHERE event_id = ANY($1::uuid[])"  # noqa: S608

READ: Final = f"""
SELECT {COLUMNS} FROM events
WHERE tenant = $1 AND stream = $2 AND version > $3
ORDER BY version
"""  # noqa: S608

READ_ALL: Final = f"""
SELECT {COLUMNS} FROM events
WHERE position > $1 AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
ORDER BY position LIMIT $3
"""  # noqa: S608

NOW: Final = "SELECT pg_current_snapshot()::text"
