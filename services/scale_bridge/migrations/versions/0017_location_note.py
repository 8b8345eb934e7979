"""A note on where a scale stands."""

from typing import Final

from alembic import op

revision: Final = "0017_location_note"
down_revision: Final = "0016_one_price_reaction"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE device ADD COLUMN location_note text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Drop the column; the notes are in the log."""
    op.execute("ALTER TABLE device DROP COLUMN location_note")
