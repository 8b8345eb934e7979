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
