"""The tables of reactions, for migrations: the inbox, subscriptions to foreign topics, gaps."""

from typing import Final

from libs.postgres.rls import Migration, Operations, create, enable_tenant_rls

INBOX: Final = """
CREATE TABLE inbox (
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
    PRIMARY KEY (reaction, tenant, event_id)
) WITH (fillfactor = 70)"""

INBOX_INDEXES: Final = (
    """CREATE INDEX inbox_waiting ON inbox (reaction, due_at, occurred_at, event_id)
        WHERE done_at IS NULL""",
    "CREATE INDEX inbox_subject ON inbox (reaction, tenant, subject, due_at)",
    "CREATE INDEX inbox_done ON inbox (done_at) WHERE done_at IS NOT NULL",
)

FENCED: Final = (
    """ALTER TABLE inbox
        ADD COLUMN fence bigint NOT NULL DEFAULT 0,
        ADD COLUMN record jsonb,
        ADD COLUMN sequence bigint GENERATED ALWAYS AS IDENTITY""",
    """CREATE INDEX inbox_unfinished ON inbox (reaction, tenant, subject, due_at)
        WHERE done_at IS NULL""",
    """CREATE INDEX inbox_unread ON inbox (reaction, tenant, stream, sequence)
        WHERE done_at IS NULL AND record IS NOT NULL""",
)
"""`fence` counts the claims of a message. `record` is an unchanged Kafka record that could not be
read as an event; later messages of its stream wait for it. `sequence` is the order of arrival."""

SUBSCRIPTIONS: Final = (
    """CREATE TABLE subscription_positions (
        reaction text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        began_at bigint NOT NULL DEFAULT 0,
        stopped jsonb,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (reaction, topic, partition)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE subscription_chains (
        reaction text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        log_id text NOT NULL,
        incarnation text NOT NULL,
        relay_seq bigint NOT NULL,
        unlabelled boolean NOT NULL DEFAULT false,
        floor timestamptz,
        retired boolean NOT NULL DEFAULT false,
        awaited boolean NOT NULL DEFAULT false,
        PRIMARY KEY (reaction, topic, partition, log_id, incarnation),
        FOREIGN KEY (reaction, topic, partition)
            REFERENCES subscription_positions ON DELETE CASCADE
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE subscription_gaps (
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
)
"""How far a reaction has read each partition, by log and incarnation; `stopped` is the gap that
blocks it. `subscription_gaps` records who accepted which gap, and why."""

TABLES: Final = ("subscription_positions", "subscription_chains", "subscription_gaps")

# Where a base was set, reading had begun in the middle of the topic.
CARRY_POSITIONS: Final = """
INSERT INTO subscription_positions (reaction, topic, partition, next_offset, began_at)
SELECT substr(c.projection, 7), c.topic, c.partition, c.next_offset,
    CASE WHEN g.base IS NULL THEN 0 WHEN c.relay_seq IS NULL THEN c.next_offset
        ELSE least(c.next_offset, 1) END
FROM checkpoints c JOIN generations g USING (projection, generation)
WHERE g.state = 'live' AND c.projection LIKE 'inbox-%'
"""
CARRY_CHAINS: Final = """
INSERT INTO subscription_chains
    (reaction, topic, partition, log_id, incarnation, relay_seq, unlabelled)
SELECT substr(c.projection, 7), c.topic, c.partition, '', '', c.relay_seq, true
FROM checkpoints c JOIN generations g USING (projection, generation)
WHERE g.state = 'live' AND c.projection LIKE 'inbox-%' AND c.relay_seq IS NOT NULL
"""
# The first record of a parked stream is parked, the others wait behind it.
CARRY_PARKED: Final = """
INSERT INTO inbox (reaction, tenant, event_id, stream, type, schema_version, data, metadata,
    occurred_at, recorded_at, subject, due_at, error, parked_at, record)
SELECT substr(p.projection, 7), p.tenant,
    md5(p.topic || ' ' || p.partition || ' ' || p.record_offset)::uuid, p.stream, '?', 1,
    'null', '{}', p.parked_at, p.parked_at,
    'record ' || p.topic || ' ' || p.partition || ' ' || p.record_offset, p.parked_at,
    CASE WHEN p.first = p.id THEN s.reason || ': ' || s.error END,
    CASE WHEN p.first = p.id THEN s.parked_at END,
    jsonb_build_object('topic', p.topic, 'partition', p.partition, 'offset', p.record_offset,
        'key', replace(encode(p.key, 'base64'), E'\\n', ''), 'headers', p.headers,
        'value', replace(encode(p.value, 'base64'), E'\\n', ''))
FROM (
    SELECT *, min(id) OVER (PARTITION BY projection, tenant, stream) AS first FROM parked
) AS p JOIN parked_streams s USING (projection, tenant, stream)
WHERE p.projection LIKE 'inbox-%' ORDER BY p.id
ON CONFLICT DO NOTHING
"""
CARRIED: Final = (
    "DELETE FROM parked_streams WHERE projection LIKE 'inbox-%'",
    "DELETE FROM generations WHERE projection LIKE 'inbox-%'",
)


def create_inbox(op: Migration) -> None:
    """Create the inbox in the current schema, with row-level security by tenant; see also
    `create_subscriptions`.
    """
    create(op, (INBOX, *INBOX_INDEXES), "inbox")
    enable_tenant_rls(op, "inbox")


def create_subscriptions(op: Migration) -> None:
    """Add fences to the inbox, and create the tables of subscriptions."""
    create(op, (*FENCED, *SUBSCRIPTIONS), *TABLES)


def carry_over_subscriptions(op: Operations) -> None:
    """Move the positions and parked records of projections `inbox-<reaction>` here."""
    for statement in (CARRY_POSITIONS, CARRY_CHAINS, CARRY_PARKED, *CARRIED):
        op.execute(statement)
