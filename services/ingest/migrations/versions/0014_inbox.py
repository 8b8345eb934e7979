"""The inbox of reactions, and how far they have read other services' topics."""

from typing import Final

from alembic import op

from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
    drop_inbox,
    drop_subscriptions,
)

revision: Final = "0014"
down_revision: Final = "0013"


def upgrade() -> None:
    """Create the tables."""
    create_inbox(op)
    create_subscriptions(op)


def downgrade() -> None:
    """Drop them; what waited in the inbox is lost."""
    drop_subscriptions(op)
    drop_inbox(op)
