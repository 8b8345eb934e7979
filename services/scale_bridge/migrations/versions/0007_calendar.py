"""Runs at wall-clock times."""

from typing import Final

revision: Final = "0007_calendar"
down_revision: Final = "0006_label"


def upgrade() -> None:
    """Nothing yet."""
