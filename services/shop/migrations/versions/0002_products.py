"""Products, materials of the calculator, and the numbers by which clients know them."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_sequence, create_tenant_tables

revision: Final = "0002"
down_revision: Final = "0001"

TABLES: Final = {
    "product": """(
        tenant text NOT NULL,
        product_id bigint NOT NULL,
        version bigint NOT NULL,
        state jsonb NOT NULL,
        name text,
        description text,
        category text,
        is_active boolean,
        is_popular boolean,
        is_new boolean,
        current_price bigint,
        on_sale boolean,
        article bigint,
        PRIMARY KEY (tenant, product_id)
    )""",
    "material": """(
        tenant text NOT NULL,
        material_id bigint NOT NULL,
        version bigint NOT NULL,
        state jsonb NOT NULL,
        category text,
        is_active boolean,
        PRIMARY KEY (tenant, material_id)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX product_article ON product (tenant, article) WHERE article IS NOT NULL",
)


def upgrade() -> None:
    """Create the tables and the sequences."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_sequence(op, "product_number")
    create_sequence(op, "material_number")
