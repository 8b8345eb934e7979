"""The tables of the projection runner, for the migrations."""

from typing import Final

from libs.postgres.rls import Migration, create_tables, create_tenant_tables

POSITIONS: Final = {
    "projection_checkpoints": """(
        name text PRIMARY KEY,
        batch bigint NOT NULL DEFAULT 0,
        published pg_snapshot NOT NULL DEFAULT '1:1:',
        target pg_snapshot NOT NULL DEFAULT '1:1:',
        after_position bigint NOT NULL DEFAULT 0,
        complete boolean NOT NULL DEFAULT true,
        changed_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)""",
    "projections": """(
        name text NOT NULL,
        state text NOT NULL CHECK (state IN ('live', 'next', 'previous')),
        version integer NOT NULL,
        checkpoint text NOT NULL REFERENCES projection_checkpoints,
        detached_because text,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (name, state)
    )""",
}
"""Checkpoints are cursors (see `libs.eventsourcing.tail.Cursor`). `batch` counts every change of
the row, of the read models at it and of their parked streams; writers compare and set it.

Projections are the versions of each read model: the version of the code that filled it (0 if the
read model must be rebuilt), and its checkpoint."""

PARKED: Final = {
    "parked_events": """(
        projection text NOT NULL,
        state text NOT NULL,
        tenant text NOT NULL,
        stream text NOT NULL,
        first_position bigint NOT NULL,
        published pg_snapshot,
        target pg_snapshot,
        reason text NOT NULL,
        error text NOT NULL,
        attempts integer NOT NULL DEFAULT 1,
        parked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (projection, state, tenant, stream),
        FOREIGN KEY (projection, state) REFERENCES projections (name, state)
            ON DELETE CASCADE ON UPDATE CASCADE
    )"""
}
"""Streams that a read model cannot apply from `first_position` on. The events are in the log.

The snapshots are those of the failed page. They tell which events had been applied, because facts
of one stream become visible out of order; without them it is those before `first_position`."""


def create_projections(op: Migration) -> None:
    """Create the tables in the current schema; parked events under row-level security."""
    create_tables(op, POSITIONS)
    create_tenant_tables(op, PARKED)
