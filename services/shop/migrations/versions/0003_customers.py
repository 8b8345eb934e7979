"""Customers, and the orders that count for their statistics."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_sequence, create_tenant_tables
from libs.postgres.vault_keys import create_vault

revision: Final = "0003"
down_revision: Final = "0002"

TABLES: Final = {
    "customer": """(
        tenant text NOT NULL,
        customer_id bigint NOT NULL,
        version bigint NOT NULL,
        subject text NOT NULL,
        phone text,
        name text,
        email text,
        person jsonb,
        source text,
        merged jsonb,
        is_merged_away boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, customer_id)
    )""",
    "customer_order": """(
        tenant text NOT NULL,
        order_id bigint NOT NULL,
        version bigint NOT NULL,
        customer_id bigint,
        flower_sum bigint,
        delivery_fee bigint,
        status text,
        placed_at timestamptz,
        PRIMARY KEY (tenant, order_id)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX customer_subject ON customer (tenant, subject)",
    "CREATE INDEX customer_order_customer ON customer_order (tenant, customer_id)",
)


def upgrade() -> None:
    """Create the vault, the tables, and the sequences of ids."""
    create_vault(op)
    create_tenant_tables(op, TABLES, INDEXES)
    for sequence in ("customer_number", "customer_entry"):
        create_sequence(op, sequence)
