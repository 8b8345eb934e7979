"""Answers to requests with an `Idempotency-Key` are stored by the services themselves."""

from alembic import op

revision = "0018"
down_revision = "0017_tenant_length"


def upgrade() -> None:
    """Drop the table, which no route used."""
    op.execute("DROP TABLE idempotency")
