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
        details jsonb,
        images jsonb,
        images_at timestamptz,
        ingredients jsonb,
        components jsonb,
        created_at timestamptz,
        updated_at timestamptz NOT NULL,
        removed boolean NOT NULL,
        name text GENERATED ALWAYS AS (details->>'name') STORED,
        description text GENERATED ALWAYS AS (details->>'description') STORED,
        category text GENERATED ALWAYS AS (details->>'category') STORED,
        is_active boolean GENERATED ALWAYS AS ((details->>'is_active')::boolean) STORED,
        is_popular boolean GENERATED ALWAYS AS ((details->>'is_popular')::boolean) STORED,
        is_new boolean GENERATED ALWAYS AS ((details->>'is_new')::boolean) STORED,
        current_price bigint GENERATED ALWAYS AS (coalesce(
            nullif((details->>'sale_price')::bigint, 0), (details->>'retail_price')::bigint
        )) STORED,
        on_sale boolean GENERATED ALWAYS AS (
            coalesce((details->>'sale_price')::bigint, 0) > 0
        ) STORED,
        article bigint GENERATED ALWAYS AS ((details->>'article')::bigint) STORED,
        PRIMARY KEY (tenant, product_id)
    )""",
    "material": """(
        tenant text NOT NULL,
        material_id bigint NOT NULL,
        material jsonb,
        created_at timestamptz,
        updated_at timestamptz NOT NULL,
        removed boolean NOT NULL,
        category text GENERATED ALWAYS AS (material->>'category') STORED,
        is_active boolean GENERATED ALWAYS AS ((material->>'is_active')::boolean) STORED,
        PRIMARY KEY (tenant, material_id)
    )""",
}
"""Generated columns are for filters, and always those of the details."""
INDEXES: Final = (
    "CREATE INDEX product_article ON product (tenant, article) WHERE article IS NOT NULL",
)


def upgrade() -> None:
    """Create the tables and the sequences."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_sequence(op, "product_number")
    create_sequence(op, "material_number")
