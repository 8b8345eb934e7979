"""How far a transfer is; and what makes it cheap to find what was shown long ago."""

from typing import Final

from alembic import op

revision: Final = "0007_reading"
down_revision: Final = "0006_calendar"


def upgrade() -> None:
    """Add what can be made again: columns that live as long as an operation, and an index."""
    op.execute("ALTER TABLE work ADD COLUMN moved bigint, ADD COLUMN total bigint")
    op.execute("CREATE INDEX shown_seen ON shown (tenant, device_id, seen_at)")
