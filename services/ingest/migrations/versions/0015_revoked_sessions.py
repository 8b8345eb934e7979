"""Which sessions are over, as API processes load it from their own database."""

from typing import Final

from alembic import op

from libs.http.revoked_sessions import create_revoked_sessions

revision: Final = "0015"
down_revision: Final = "0014"


def upgrade() -> None:
    """Create the tables, which the worker fills from what is published."""
    create_revoked_sessions(op)
