"""What is printed beside products: messages, templates, barcode rules."""

from typing import Final

revision: Final = "0006_label"
down_revision: Final = "0005_profile"


def upgrade() -> None:
    """Nothing yet."""
