"""Live messages."""

from typing import Final

from alembic import op

from libs.http.live_messages import create_live_messages

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    """Create the table of what has just happened."""
    create_live_messages(op)
