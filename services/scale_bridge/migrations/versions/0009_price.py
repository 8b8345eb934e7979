"""Which price reached which scale."""

from typing import Final

revision: Final = "0009_price"
down_revision: Final = "0008_reading"


def upgrade() -> None:
    """Nothing yet."""
