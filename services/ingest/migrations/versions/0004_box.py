"""Boxes and how they stand."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0004"
down_revision: Final = "0003"

BOX: Final = """(
    tenant text NOT NULL,
    day date NOT NULL,
    client text NOT NULL,
    city text NOT NULL,
    box text NOT NULL,
    operator text NOT NULL,
    number_key text COLLATE "C" NOT NULL,
    items bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    opened_at timestamptz,
    first_turn text COLLATE "C",
    last_turn text COLLATE "C",
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant, day, client, city, box, operator)
) WITH (fillfactor = 70)"""


def upgrade() -> None:
    """Create the table, fenced by tenant. It can be rebuilt from the log."""
    create_tenant_tables(op, {"box": BOX})
