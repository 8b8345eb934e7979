"""Messages to members of shops that are still to be sent."""

from typing import Final

from alembic import op

from libs.jobs.table import create_job_table
from services.gateway.bot.notifications.stores import TABLE

revision: Final = "0019"
down_revision: Final = "0018"


def upgrade() -> None:
    """Create their queue."""
    create_job_table(op, TABLE, {"text": "text NOT NULL"})
