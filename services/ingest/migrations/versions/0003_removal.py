"""What a removal leaves behind, and which counters changed when."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0003"
down_revision: Final = "0002"

REMOVAL: Final = """(
    tenant text NOT NULL,
    day date NOT NULL,
    scan_id uuid NOT NULL,
    removal_id uuid NOT NULL,
    removed_at timestamptz NOT NULL,
    removed_by text NOT NULL,
    reason text NOT NULL,
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
    PRIMARY KEY (tenant, scan_id)
)"""

CHANGES: Final = (
    "ALTER TABLE scan_log ADD COLUMN removed_at timestamptz",
    "ALTER TABLE activity ADD COLUMN removed bigint NOT NULL DEFAULT 0",
    "ALTER TABLE activity ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id()",
    """CREATE INDEX scan_log_in_box ON scan_log (tenant, box, day)
        WHERE kind = 'ITEM' AND removed_at IS NULL""",
    "CREATE INDEX removal_newest ON removal (tenant, day DESC, removed_at DESC, scan_id)",
)


def upgrade() -> None:
    """Create the table, fenced by tenant, and let rows be removed."""
    create_tenant_tables(op, {"removal": REMOVAL})
    for change in CHANGES:
        op.execute(change)
