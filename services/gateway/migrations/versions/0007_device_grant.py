"""Devices that ask to be let in, and keys that run out or have a limit of their own.

A grant is no tenant's before somebody answers it, and is not in the log: it is a secret of minutes.
What became of it, an account or a refusal, is.
"""

from alembic import op

from libs.postgres.rls import grant

revision = "0007_device_grant"
down_revision = "0006"


def upgrade() -> None:
    """Create it. Both codes are kept as keyed digests only, what the device said of itself sealed.

    `account` is the one that the device will have, if somebody lets it in.
    """
    op.execute(
        """CREATE TABLE device_grant (
            device text PRIMARY KEY,
            shown text NOT NULL UNIQUE,
            client text NOT NULL,
            account uuid NOT NULL,
            sealed text NOT NULL,
            answer text NOT NULL DEFAULT 'waiting'
                CHECK (answer IN ('waiting', 'answering', 'approved', 'denied', 'used')),
            tenant text,
            pause integer NOT NULL CHECK (pause > 0),
            polled_at timestamptz,
            expires_at timestamptz NOT NULL,
            CHECK (answer NOT IN ('approved', 'used') OR tenant IS NOT NULL)
        )"""
    )
    op.execute("CREATE INDEX device_grant_expires_at ON device_grant (expires_at)")
    grant(op, "device_grant", "SELECT", "INSERT", "UPDATE", "DELETE")
    op.execute("ALTER TABLE api_key ADD COLUMN expires_at timestamptz")
    op.execute("ALTER TABLE api_key ADD COLUMN requests_per_minute integer")
