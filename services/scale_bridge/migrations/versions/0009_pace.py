"""When the next connection to a scale may be made, for all processes and tenants together."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tables

revision: Final = "0009_pace"
down_revision: Final = "0008_price"


def upgrade() -> None:
    """Create the table. Nothing of a tenant stands here: compare `lease` and `breaker`."""
    definition = "(endpoint text PRIMARY KEY, next_at timestamptz NOT NULL) WITH (fillfactor = 50)"
    create_tables(op, {"pace": definition})
