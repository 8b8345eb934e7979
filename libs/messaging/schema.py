"""The tables of the relay, and of projectors in older releases, for the migrations."""

from typing import Final

from libs.postgres.rls import Migration, create

_BATCH: Final = """published pg_snapshot NOT NULL DEFAULT '1:1:',
        target pg_snapshot NOT NULL DEFAULT '1:1:',
        after_position bigint NOT NULL DEFAULT 0,
        until_position bigint NOT NULL DEFAULT 0,
        first_seq bigint NOT NULL DEFAULT 1,
        next_seq bigint NOT NULL DEFAULT 1,
        complete boolean NOT NULL DEFAULT true,
        confirmed boolean NOT NULL DEFAULT true,
        changed_at timestamptz NOT NULL DEFAULT now()"""

RELAY: Final = (
    f"""CREATE TABLE relay (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        epoch bigint NOT NULL DEFAULT 0,
        tick bigint NOT NULL DEFAULT 0,
        {_BATCH}
    )""",
    "INSERT INTO relay DEFAULT VALUES",
    """CREATE TABLE relay_heads (
        topic text NOT NULL,
        partition integer NOT NULL,
        last_seq bigint NOT NULL,
        PRIMARY KEY (topic, partition)
    )""",
)
"""The row in `relay` is the current batch: the events visible in `target` and not in `published`,
above `after_position` and up to `until_position`, numbered from `first_seq`. `relay_heads` holds
the last confirmed number of every partition."""

INCARNATIONS: Final = (
    "ALTER TABLE relay RENAME COLUMN tick TO batch",
    """ALTER TABLE relay
        ADD COLUMN log_id uuid NOT NULL DEFAULT gen_random_uuid(),
        ADD COLUMN incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
        ADD COLUMN database text""",
    """CREATE TABLE relay_topics (
        topic text PRIMARY KEY,
        incarnation uuid NOT NULL
    )""",
    f"""CREATE TABLE relay_republish (
        topic text PRIMARY KEY,
        incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
        requested_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        total bigint NOT NULL DEFAULT 0,
        batch bigint NOT NULL DEFAULT 0,
        {_BATCH}
    )""",
)
"""`log_id` never changes. `incarnation` changes when the log is restored or failed over, which is
detected by `database`: system identifier and timeline of the cluster that led last. A topic that
was sent again has an incarnation of its own in `relay_topics`. `relay_republish` holds the requests
to send topics again, with their batches as in `relay`."""

PROJECTIONS: Final = (
    """CREATE TABLE generations (
        projection text NOT NULL,
        generation integer NOT NULL,
        state text NOT NULL CHECK (state IN ('live', 'next', 'previous')),
        base pg_snapshot,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (projection, generation),
        UNIQUE (projection, state)
    )""",
    """CREATE TABLE checkpoints (
        projection text NOT NULL,
        generation integer NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        relay_seq bigint,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (projection, generation, topic, partition),
        FOREIGN KEY (projection, generation) REFERENCES generations ON DELETE CASCADE
    ) WITH (fillfactor = 50)""",
)
"""The position of every generation of a projection. `base` is the snapshot of the log that it was
rebuilt from, null if it began with the topic; `relay_seq` is null until the next record."""

PARKING: Final = (
    """CREATE TABLE parked_streams (
        projection text NOT NULL,
        tenant text NOT NULL,
        stream text NOT NULL,
        reason text NOT NULL,
        error text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now(),
        attempts integer NOT NULL DEFAULT 1,
        PRIMARY KEY (projection, tenant, stream)
    )""",
    """CREATE TABLE parked (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        projection text NOT NULL,
        tenant text NOT NULL,
        stream text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        record_offset bigint NOT NULL,
        key bytea,
        headers jsonb NOT NULL,
        value bytea,
        parked_at timestamptz NOT NULL DEFAULT now(),
        FOREIGN KEY (projection, tenant, stream) REFERENCES parked_streams ON DELETE CASCADE
    )""",
    "CREATE INDEX parked_order ON parked (projection, tenant, stream, id)",
)
"""A parked stream, the reason, and its unchanged records in their order."""

TABLES: Final = ("relay", "relay_heads", "generations", "checkpoints", "parked_streams", "parked")


def create_messaging(op: Migration) -> None:
    """Create the tables in the current schema and let the role work on them."""
    create(op, (*RELAY, *PROJECTIONS, *PARKING), *TABLES)


def add_incarnations(op: Migration) -> None:
    """Give the log an id and an incarnation, and add the tables for sending a topic again."""
    create(op, INCARNATIONS, "relay_topics", "relay_republish")
