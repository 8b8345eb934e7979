"""The tables of the relay, for the migrations."""

from typing import Final

from libs.postgres.rls import Migration, create_tables

_BATCH: Final = """published pg_snapshot NOT NULL DEFAULT '1:1:',
        target pg_snapshot NOT NULL DEFAULT '1:1:',
        after_position bigint NOT NULL DEFAULT 0,
        until_position bigint NOT NULL DEFAULT 0,
        first_seq bigint NOT NULL DEFAULT 1,
        next_seq bigint NOT NULL DEFAULT 1,
        complete boolean NOT NULL DEFAULT true,
        confirmed boolean NOT NULL DEFAULT true,
        changed_at timestamptz NOT NULL DEFAULT now()"""

RELAY: Final = {
    "relay": f"""(
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        epoch bigint NOT NULL DEFAULT 0,
        batch bigint NOT NULL DEFAULT 0,
        {_BATCH},
        log_id uuid NOT NULL DEFAULT gen_random_uuid(),
        incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
        database text
    )""",
    "relay_heads": """(
        topic text NOT NULL,
        partition integer NOT NULL,
        last_seq bigint NOT NULL,
        PRIMARY KEY (topic, partition)
    )""",
    "relay_topics": """(
        topic text PRIMARY KEY,
        incarnation uuid NOT NULL
    )""",
    "relay_republish": f"""(
        topic text PRIMARY KEY,
        incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
        requested_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        total bigint NOT NULL DEFAULT 0,
        batch bigint NOT NULL DEFAULT 0,
        {_BATCH}
    )""",
}
"""The row in `relay` is the current batch: the events visible in `target` and not in `published`,
above `after_position` and up to `until_position`, numbered from `first_seq`. `relay_heads` holds
the last confirmed number of every partition.

`log_id` never changes. `incarnation` changes when the log is restored or failed over, which is
detected by `database`: system identifier and timeline of the cluster that led last. A topic that
was sent again has an incarnation of its own in `relay_topics`. `relay_republish` holds the requests
to send topics again, with their batches as in `relay`."""

FIRST_BATCH: Final = "INSERT INTO relay DEFAULT VALUES"


def create_relay(op: Migration) -> None:
    """Create the tables in the current schema, with the first, empty batch."""
    create_tables(op, RELAY, [FIRST_BATCH])
