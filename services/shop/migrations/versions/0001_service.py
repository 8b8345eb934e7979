"""What every service has, and the settings of shops."""

from typing import Final

from alembic import op

from libs.postgres.idempotency import create_idempotency
from libs.postgres.rls import create_tenant_tables
from libs.process.service_schema import create_service_schema

revision: Final = "0001"
down_revision: Final = None

TABLES: Final = {
    "company": """(
        tenant text PRIMARY KEY,
        company jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )""",
}


def upgrade() -> None:
    """Create log, relay, checkpoints, inbox, revoked sessions, idempotency keys, and settings."""
    create_service_schema(op)
    create_idempotency(op)
    create_tenant_tables(op, TABLES)
