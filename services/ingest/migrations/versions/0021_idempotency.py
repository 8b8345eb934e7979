"""Answers to requests with an `Idempotency-Key`."""

from alembic import op

from libs.postgres.idempotency import create_idempotency

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Create the table."""
    create_idempotency(op)


def downgrade() -> None:
    """Drop it; a repeated request is then done once more."""
    op.execute("DROP TABLE idempotency")
