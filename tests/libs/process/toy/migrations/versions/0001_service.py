"""What every service has."""

from alembic import op

from libs.process.service_schema import create_service_schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create log, relay, checkpoints, inbox and revoked sessions."""
    create_service_schema(op)
