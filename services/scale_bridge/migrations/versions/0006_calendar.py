"""Runs at wall-clock times."""

from typing import Final

from alembic import op

revision: Final = "0006_calendar"
down_revision: Final = "0005_profile"

COLUMNS: Final = {
    "calendar": "jsonb",
    "slot": "timestamptz",
    "skipped_at": "timestamptz",
    "skipped_due_at": "timestamptz",
    "skipped_runs": "integer",
    "skipped_reason": "text",
}


def upgrade() -> None:
    """Room for a calendar beside the interval; schedules there are have none."""
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE schedule ADD COLUMN {name} {kind}")
