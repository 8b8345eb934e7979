"""The tables of reactions, for migrations: the inbox, subscriptions to foreign topics, gaps."""

from typing import Final

from libs.postgres.rls import Migration, create_tables, create_tenant_tables

INBOX: Final = {
    "inbox": """(
        reaction text NOT NULL,
        tenant text NOT NULL,
        event_id uuid NOT NULL,
        stream text NOT NULL,
        version integer,
        type text NOT NULL,
        schema_version smallint NOT NULL,
        data jsonb NOT NULL,
        metadata jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        subject text NOT NULL,
        due_at timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        claimed_until timestamptz,
        retry_at timestamptz,
        error text,
        parked_at timestamptz,
        done_at timestamptz,
        outcome text,
        fence bigint NOT NULL DEFAULT 0,
        record jsonb,
        sequence bigint GENERATED ALWAYS AS IDENTITY,
        PRIMARY KEY (reaction, tenant, event_id)
    ) WITH (fillfactor = 70)"""
}
"""`fence` counts the claims of a message. `record` is an unchanged Kafka record that could not be
read as an event; later messages of its stream wait for it. `sequence` is the order of arrival."""

INBOX_INDEXES: Final = (
    """CREATE INDEX inbox_waiting ON inbox (reaction, due_at, occurred_at, event_id)
        WHERE done_at IS NULL""",
    "CREATE INDEX inbox_subject ON inbox (reaction, tenant, subject, due_at)",
    "CREATE INDEX inbox_done ON inbox (done_at) WHERE done_at IS NOT NULL",
    """CREATE INDEX inbox_unfinished ON inbox (reaction, tenant, subject, due_at)
        WHERE done_at IS NULL""",
    """CREATE INDEX inbox_unread ON inbox (reaction, tenant, stream, sequence)
        WHERE done_at IS NULL AND record IS NOT NULL""",
)

SUBSCRIPTIONS: Final = {
    "subscription_positions": """(
        reaction text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        began_at bigint NOT NULL DEFAULT 0,
        stopped jsonb,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (reaction, topic, partition)
    ) WITH (fillfactor = 50)""",
    "subscription_chains": """(
        reaction text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        log_id text NOT NULL,
        incarnation text NOT NULL,
        relay_seq bigint NOT NULL,
        floor timestamptz,
        retired boolean NOT NULL DEFAULT false,
        awaited boolean NOT NULL DEFAULT false,
        PRIMARY KEY (reaction, topic, partition, log_id, incarnation),
        FOREIGN KEY (reaction, topic, partition)
            REFERENCES subscription_positions ON DELETE CASCADE
    ) WITH (fillfactor = 50)""",
    "subscription_gaps": """(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        reaction text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        kind text NOT NULL,
        log_id text NOT NULL,
        incarnation text NOT NULL,
        from_seq bigint NOT NULL,
        to_seq bigint NOT NULL,
        from_offset bigint NOT NULL,
        to_offset bigint NOT NULL,
        reason text NOT NULL,
        accepted_by text NOT NULL,
        accepted_at timestamptz NOT NULL DEFAULT now()
    )""",
}
"""How far a reaction has read each partition, by log and incarnation; `stopped` is the gap that
blocks it. `subscription_gaps` records who accepted which gap, and why."""


def create_reactions(op: Migration) -> None:
    """Create the tables in the current schema, the inbox with row-level security by tenant."""
    create_tenant_tables(op, INBOX, INBOX_INDEXES)
    create_tables(op, SUBSCRIPTIONS)
