"""The log's table, for the migrations; a trigger makes it append-only."""

from typing import Final

from libs.postgres.rls import Migration, create_tenant_tables

MAX_NAME: Final = 200
"""Characters of a stream or a tenant, in the table and on the wire."""
MAX_BYTES: Final = 500_000
"""Half of Kafka's limit for a record; a larger event would block the relay for ever."""

EVENTS = {
    "events": f"""(
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        event_id uuid NOT NULL UNIQUE,
        tenant text NOT NULL CHECK (tenant <> '' AND tenant <> '*')
            CONSTRAINT events_tenant_length CHECK (length(tenant) <= {MAX_NAME}),
        stream text NOT NULL CHECK (stream <> '' AND length(stream) <= {MAX_NAME}),
        version integer CHECK (version > 0),
        type text NOT NULL,
        schema_version smallint NOT NULL,
        data jsonb NOT NULL,
        metadata jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        CHECK (octet_length(data::text) + octet_length(metadata::text) <= {MAX_BYTES})
    )"""
}
"""`version` is null for facts. `xid` is the transaction, by which the log is tailed."""

INDEXES = (
    """CREATE UNIQUE INDEX events_stream_version ON events (tenant, stream, version)
        WHERE version IS NOT NULL""",
    "CREATE INDEX events_xid ON events (xid, position)",
)

APPEND_ONLY = (
    """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'events are append-only: % refused', TG_OP USING ERRCODE = '42501';
    END $$""",
    """CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
)


def create_log(op: Migration) -> None:
    """Create `events` in the current schema, with row-level security by tenant.

    The service's role may read and append, nothing else.
    """
    rights = ("SELECT", "INSERT")
    create_tenant_tables(op, EVENTS, (*INDEXES, *APPEND_ONLY), rights=rights)
