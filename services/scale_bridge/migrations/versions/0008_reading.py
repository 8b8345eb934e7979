"""How long what was shown is remembered."""

from typing import Final

revision: Final = "0008_reading"
down_revision: Final = "0007_calendar"


def upgrade() -> None:
    """Nothing yet."""
