"""One-time codes, how often they were tried, and which Telegram account reads which phone.

None of these is a tenant's, and none is in the log: a code is a secret that lives for minutes, and
a phone is somebody's before they have an account.
"""

from alembic import op

from libs.postgres.attempts import create_attempts
from libs.postgres.rls import create_tables

revision = "0006"
down_revision = "0005"

TABLES = {
    "one_time_code": """(
        subject text PRIMARY KEY,
        hash text NOT NULL,
        expires_at timestamptz NOT NULL
    )""",
    "telegram_link": """(
        phone text PRIMARY KEY,
        telegram text NOT NULL UNIQUE,
        sealed text NOT NULL,
        linked_at timestamptz NOT NULL
    )""",
    "telegram_once": """(
        what text PRIMARY KEY,
        until timestamptz NOT NULL
    )""",
}
INDEXES = (
    "CREATE INDEX one_time_code_expires_at ON one_time_code (expires_at)",
    "CREATE INDEX telegram_once_until ON telegram_once (until)",
)


def upgrade() -> None:
    """Create them. Phones, addresses, Telegram accounts are keyed digests; a link is sealed too."""
    create_attempts(op)
    create_tables(op, TABLES, INDEXES)
