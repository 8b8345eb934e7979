"""The SQL of the log."""

from typing import Final

COLUMNS: Final = """position, xid::text::bigint AS xid, event_id, tenant, stream, version, type,
    schema_version, data, metadata, occurred_at, recorded_at"""

TEXT_COLUMNS: Final = """position, xid::text AS xid, event_id::text AS event_id, tenant, stream,
    version, type, schema_version, data, metadata,
    to_json(occurred_at AT TIME ZONE 'UTC') AS occurred_at,
    to_json(recorded_at AT TIME ZONE 'UTC') AS recorded_at"""
"""The same for rows that become bytes: ids as text, and moments as JSON text, in UTC and without an
offset, because the client takes four times as long to make objects of them."""

_GIVEN: Final = """
INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
SELECT event_id, tenant, stream, version, type, schema_version, data::jsonb, metadata::jsonb,
    occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::smallint[],
    $7::text[], $8::text[], $9::timestamptz[])
    AS given (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
"""

_NEW: Final = """
ON CONFLICT DO NOTHING
RETURNING event_id, version, xid::text::bigint AS xid, position
"""

INSERT: Final = f"{_GIVEN} {_NEW}"
"""All rows at once, in the order given (see `plan.Row.sort_key`), skipping what is known."""

SEPARATOR: Final = "\x1f"
"""Between the texts of several rows; JSON cannot hold it, and other texts that do travel apart."""

FACTS: Final = f"""
WITH added AS (
    INSERT INTO events
        (event_id, tenant, stream, type, schema_version, data, metadata, occurred_at)
    SELECT event_id::uuid, tenant, stream, type, schema_version::smallint, data::jsonb,
        $9::jsonb -> cause::int, occurred_at
    FROM unnest({", ".join(f"string_to_array(${n}::text, E'{chr(92)}x1f')" for n in range(1, 8))},
        $8::timestamptz[])
        AS given (event_id, tenant, stream, type, schema_version, data, cause, occurred_at)
    ON CONFLICT DO NOTHING
    RETURNING event_id, xid, position
)
SELECT (SELECT xid::text::bigint FROM added LIMIT 1) AS xid,
    (SELECT array_agg(position ORDER BY position) FROM added) AS positions,
    (
        SELECT array_agg(event_id ORDER BY position) FROM added
        WHERE (SELECT count(*) FROM added) < $10
    ) AS event_ids
"""  # noqa: S608
"""Facts alone, the same rows in the same order, and one row that says which were new: `event_ids`
only if not all `$10` were. `cause` is the place of a row's metadata in the list `$9`."""

APPEND: Final = f"""
WITH added AS (
    {_GIVEN}
    WHERE NOT EXISTS (
        SELECT FROM unnest($10::text[], $11::text[], $12::int[]) AS base (tenant, stream, version)
        -- The limit keeps it one look into the index for each; as an anti-join it reads the table.
        WHERE (
            SELECT true FROM events
            WHERE events.tenant = base.tenant AND events.stream = base.stream
                AND events.version = base.version
            LIMIT 1
        ) IS NULL
    )
    {_NEW}
)
SELECT event_id, version, xid, position, 1 / CASE WHEN
    count(*) FILTER (WHERE version IS NOT NULL OR event_id = ANY($13::uuid[])) OVER () < $14
    THEN 0 /* somebody else appended first, so nothing is appended here */ ELSE 1 END AS whole
FROM added
"""  # noqa: S608
"""The same, unless a base is missing, and only if every versioned row and every one of `$13`,
`$14` rows in all, is inserted: it divides by zero otherwise, and by its own transaction is gone.
"""

QUEUE: Final = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(head, 0) AS key FROM unnest($1::text[]) AS head ORDER BY 1)
"""
"""Wait for one's turn at the streams, in one order, until the transaction ends."""

KNOWN: Final = """
SELECT event_id, tenant, stream, version, xid::text::bigint AS xid, position,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS later
FROM events WHERE event_id = ANY($1::uuid[])
"""
"""`later` is a transaction yet to begin, so that its end is seen after that of all seen here."""

COMMITTED_STATE: Final = f"""
SELECT NULL::uuid AS event_id, tenant, stream, last.version, NULL::bigint AS xid,
    NULL::bigint AS position, NULL::bigint AS later
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
