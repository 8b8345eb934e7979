"""Codes are asked for and tried from somewhere: one for a phone and network, with its own tries.

The codes that are under way live for five minutes at most and are dropped: people ask again.
"""

from alembic import op

revision = "0009_codes_by_network"
down_revision = "0007_device_grant"


def upgrade() -> None:
    """`network` is a keyed digest, `tries` the wrong ones, and `displayed` codes are no secret."""
    op.execute("DELETE FROM one_time_code")
    op.execute(
        """ALTER TABLE one_time_code
            ADD COLUMN network text NOT NULL,
            ADD COLUMN tries integer NOT NULL DEFAULT 0,
            ADD COLUMN displayed boolean NOT NULL,
            DROP CONSTRAINT one_time_code_pkey,
            ADD PRIMARY KEY (subject, network)"""
    )
