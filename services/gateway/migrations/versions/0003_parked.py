"""Parked events are fenced by tenant too."""

from alembic import op

from libs.postgres.rls import enable_tenant_rls

revision = "0003"
down_revision = "0002"

TABLES = ("parked_streams", "parked")


def upgrade() -> None:
    """Fence them, as the log is."""
    for table in TABLES:
        enable_tenant_rls(op, table)


def downgrade() -> None:
    """Take the fences away."""
    for table in TABLES:
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
