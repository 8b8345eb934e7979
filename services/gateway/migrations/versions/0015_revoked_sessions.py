"""Which sessions are over, as API processes load it from their own database."""

from typing import Final

from alembic import op

from libs.http.revoked_sessions import create_revoked_sessions

revision: Final = "0015_revoked_sessions"
down_revision: Final = "0014_inbox"


def upgrade() -> None:
    """Create the tables, which the worker fills from what is published."""
    create_revoked_sessions(op)
    op.execute(
        "CREATE INDEX session_revoked_at ON session (revoked_at) WHERE revoked_at IS NOT NULL"
    )
