"""What a scale is: its shop, group, model and verification date; reminders."""

from typing import Final

revision: Final = "0005_profile"
down_revision: Final = "0004_bridge"


def upgrade() -> None:
    """Nothing yet."""
