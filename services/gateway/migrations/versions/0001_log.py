"""The log, and the places of relay and projectors."""

from alembic import op

from libs.eventsourcing.schema import create_log
from libs.messaging.schema import create_messaging

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them; rows of the log are fenced by tenant."""
    create_log(op)
    create_messaging(op)
