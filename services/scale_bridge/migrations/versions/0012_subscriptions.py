"""Positions of reactions in other services' topics have tables of their own."""

from typing import Final

from alembic import op

from libs.messaging.inbox_schema import (
    carry_over_subscriptions,
    create_subscriptions,
)

revision: Final = "0012_subscriptions"
down_revision: Final = "0011_incarnation"


def upgrade() -> None:
    """Create the tables, and move the positions of readers of other services' topics there."""
    create_subscriptions(op)
    carry_over_subscriptions(op)
