"""Prices are stored by the reaction that applies them: `price-heard`, a second one, has ended.

A price that was announced and not stored by then is shown from the moment it is valid. The consumer
group `inbox-price-heard` may be deleted on Kafka, or ends with the retention of its offsets.
"""

from typing import Final

from alembic import op

revision: Final = "0016_one_price_reaction"
down_revision: Final = "0015_tenant_length"


def upgrade() -> None:
    """Delete its messages and positions."""
    for table in ("inbox", "subscription_gaps", "subscription_positions"):
        op.execute(f"DELETE FROM {table} WHERE reaction = 'price-heard'")  # noqa: S608 -- constants


def downgrade() -> None:
    """Nothing to do: without a position it reads the topic anew, and stores no price twice."""
