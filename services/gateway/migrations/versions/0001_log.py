"""The log, and the places of relay and projectors."""

from alembic import op

from libs.eventsourcing.schema import create_log, drop_log
from libs.messaging.schema import create_messaging, drop_messaging

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them; rows of the log are fenced by tenant."""
    create_log(op)
    create_messaging(op)


def downgrade() -> None:
    """Drop them, losing every event."""
    drop_messaging(op)
    drop_log(op)
