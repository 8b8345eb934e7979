"""Daemons on shops' networks: their keys, when they were last heard of, and what they have.

None of it can be rebuilt from the log. Without `handed` what they are at ends as unknown, without
`bridge` they show their keys again.
"""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0004_bridge"
down_revision: Final = "0003_twin"

TABLES: Final = {
    "bridge": """(
        tenant text NOT NULL,
        bridge_id uuid NOT NULL,
        owner uuid,
        name text NOT NULL DEFAULT '',
        public_key bytea,
        connection uuid,
        program text NOT NULL DEFAULT '',
        heard_at timestamptz,
        working integer NOT NULL DEFAULT 0,
        completed bigint NOT NULL DEFAULT 0,
        completed_at timestamptz,
        PRIMARY KEY (tenant, bridge_id)
    ) WITH (fillfactor = 70)""",
    "handed": """(
        tenant text NOT NULL,
        bridge_id uuid NOT NULL,
        errand_id uuid NOT NULL,
        operation_id uuid NOT NULL,
        device_id uuid NOT NULL,
        deadline_at timestamptz NOT NULL,
        kind text NOT NULL,
        address text NOT NULL,
        port integer NOT NULL,
        revision bigint NOT NULL,
        content text,
        attempts integer NOT NULL,
        moved bigint NOT NULL DEFAULT 0,
        total bigint,
        PRIMARY KEY (tenant, bridge_id, errand_id)
    ) WITH (fillfactor = 70)""",
}


def upgrade() -> None:
    """Create the tables, fenced by tenant."""
    create_tenant_tables(op, TABLES)
    op.execute("CREATE INDEX handed_operation ON handed (tenant, operation_id)")
