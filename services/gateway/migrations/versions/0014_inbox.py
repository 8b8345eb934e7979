"""The inbox of reactions, and how far they have read other services' topics."""

from typing import Final

from alembic import op

from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
)

revision: Final = "0014_inbox"
down_revision: Final = "0013_incarnation"


def upgrade() -> None:
    """Create the tables."""
    create_inbox(op)
    create_subscriptions(op)
