"""One-time codes, how often they were tried, and which Telegram account reads which phone.

None of these is a tenant's, and none is in the log: a code is a secret that lives for minutes, and
a phone is somebody's before they have an account.
"""

from alembic import op

from libs.postgres.rls import grant

revision = "0006"
down_revision = "0005"

TABLES = ("one_time_code", "one_time_count", "telegram_link", "telegram_once")


def upgrade() -> None:
    """Create them. Phones, addresses, Telegram accounts are keyed digests; a link is sealed too."""
    op.execute(
        """CREATE TABLE one_time_code (
            subject text PRIMARY KEY,
            hash text NOT NULL,
            expires_at timestamptz NOT NULL
        )"""
    )
    op.execute("CREATE INDEX one_time_code_expires_at ON one_time_code (expires_at)")
    op.execute(
        """CREATE TABLE one_time_count (
            kind text NOT NULL,
            who text NOT NULL,
            count integer NOT NULL CHECK (count >= 0),
            until timestamptz NOT NULL,
            PRIMARY KEY (kind, who)
        )"""
    )
    op.execute("CREATE INDEX one_time_count_until ON one_time_count (until)")
    op.execute(
        """CREATE TABLE telegram_link (
            phone text PRIMARY KEY,
            telegram text NOT NULL UNIQUE,
            sealed text NOT NULL,
            linked_at timestamptz NOT NULL
        )"""
    )
    op.execute(
        """CREATE TABLE telegram_once (
            what text PRIMARY KEY,
            until timestamptz NOT NULL
        )"""
    )
    op.execute("CREATE INDEX telegram_once_until ON telegram_once (until)")
    for table in TABLES:
        grant(op, table, "SELECT", "INSERT", "UPDATE", "DELETE")
