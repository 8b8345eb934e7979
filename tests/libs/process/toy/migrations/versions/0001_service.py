"""What every service has."""

from alembic import op

from libs.process.service_schema import create_service_schema, drop_service_schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create log, relay, places of read models, inbox and revoked sessions."""
    create_service_schema(op)


def downgrade() -> None:
    """Drop everything, losing every event."""
    drop_service_schema(op)
