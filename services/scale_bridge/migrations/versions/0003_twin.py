"""Schedules, what scales shall and do show, and an inbox for prices."""

from typing import Final

from alembic import op

from libs.messaging.inbox_schema import create_inbox
from libs.postgres.rls import create_tenant_tables

revision: Final = "0003_twin"
down_revision: Final = "0002_scales"

TABLES: Final = {
    "schedule": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        removed boolean NOT NULL,
        version integer NOT NULL,
        enabled boolean NOT NULL,
        interval_minutes integer,
        next_run_at timestamptz,
        running uuid,
        claimed_at timestamptz,
        last_run_at timestamptz,
        last_status text,
        last_error text,
        PRIMARY KEY (tenant, device_id)
    )""",
    "shown": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        seen_at timestamptz NOT NULL,
        operation_id uuid NOT NULL,
        product jsonb,
        PRIMARY KEY (tenant, device_id, plu, seen_at, operation_id)
    )""",
    "showing": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        seen_at timestamptz NOT NULL,
        operation_id uuid NOT NULL,
        product jsonb,
        PRIMARY KEY (tenant, device_id, plu)
    ) WITH (fillfactor = 70)""",
    "reading": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        at timestamptz NOT NULL,
        told_by uuid NOT NULL,
        kind text NOT NULL,
        PRIMARY KEY (tenant, device_id, at, told_by, kind)
    )""",
    "desired": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        code text,
        fields jsonb NOT NULL,
        revision integer NOT NULL,
        source text NOT NULL,
        PRIMARY KEY (tenant, device_id, plu)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX schedule_due ON schedule (next_run_at) WHERE enabled AND NOT removed",
    "CREATE INDEX schedule_running ON schedule (claimed_at) WHERE running IS NOT NULL",
    "CREATE INDEX reading_kind ON reading (tenant, device_id, kind, at)",
    "CREATE INDEX desired_code ON desired (tenant, code)",
)


def upgrade() -> None:
    """Create the read models, which can be rebuilt from the log, and the inbox, which cannot."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_inbox(op)
