"""The tables people's questions are answered from. All can be rebuilt from the log."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0002"
down_revision: Final = "0001"

TABLES: Final = {
    "activity": """(
        tenant text NOT NULL,
        day date NOT NULL,
        operator text NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        kind text NOT NULL,
        count bigint NOT NULL,
        last_received_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        last_scan_id uuid NOT NULL,
        last_box text NOT NULL,
        PRIMARY KEY (tenant, day, operator, client, city, kind)
    ) WITH (fillfactor = 70)""",
    "presence": """(
        tenant text NOT NULL,
        operator text NOT NULL,
        last_seen_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, operator)
    ) WITH (fillfactor = 70)""",
    "scan_log": """(
        tenant text NOT NULL,
        day date NOT NULL,
        scan_id uuid NOT NULL,
        kind text NOT NULL,
        operator text NOT NULL,
        client text NOT NULL,
        city text NOT NULL,
        box text NOT NULL,
        code text NOT NULL,
        details text,
        source text NOT NULL,
        scanned_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        effective_at timestamptz NOT NULL,
        skewed boolean NOT NULL,
        PRIMARY KEY (tenant, day, scan_id)
    )""",
    "quarantine": """(
        tenant text NOT NULL,
        quarantine_id uuid NOT NULL,
        scan_id uuid,
        code text NOT NULL,
        reason text NOT NULL,
        raw text NOT NULL,
        received_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, quarantine_id)
    )""",
}

INDEXES: Final = (
    """CREATE INDEX scan_log_newest ON scan_log
        (tenant, day, received_at DESC, effective_at DESC, scan_id)""",
    """CREATE INDEX scan_log_newest_of_operator ON scan_log
        (tenant, day, operator, received_at DESC, effective_at DESC, scan_id)""",
    """CREATE INDEX scan_log_newest_of_client ON scan_log
        (tenant, day, client, received_at DESC, effective_at DESC, scan_id)""",
    """CREATE INDEX scan_log_newest_of_kind ON scan_log
        (tenant, day, kind, received_at DESC, effective_at DESC, scan_id)""",
    "CREATE INDEX quarantine_newest ON quarantine (tenant, received_at DESC, quarantine_id)",
)


def upgrade() -> None:
    """Create the tables, fenced by tenant."""
    create_tenant_tables(op, TABLES, INDEXES)
