"""The stock: batches, movements, what orders have, receipts."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_sequence, create_tenant_tables

revision: Final = "0004"
down_revision: Final = "0003"

TABLES: Final = {
    "warehouse_item": """(
        tenant text NOT NULL,
        warehouse_item_id bigint NOT NULL,
        stock_id uuid NOT NULL,
        revision integer NOT NULL,
        sku text NOT NULL,
        batch_code text NOT NULL,
        variety text NOT NULL,
        height_cm bigint NOT NULL,
        farm text NOT NULL,
        supplier text NOT NULL,
        delivered_at timestamptz NOT NULL,
        currency text NOT NULL,
        rate numeric NOT NULL,
        cost numeric NOT NULL,
        markup_percent numeric NOT NULL,
        price bigint NOT NULL CHECK (price >= 0),
        recommended_price bigint NOT NULL,
        created_at timestamptz NOT NULL,
        min_quantity bigint NOT NULL,
        on_showcase boolean NOT NULL,
        to_write_off boolean NOT NULL,
        hidden boolean NOT NULL,
        updated_at timestamptz NOT NULL,
        updated_by text NOT NULL,
        PRIMARY KEY (tenant, warehouse_item_id)
    )""",
    "stock_level": """(
        tenant text NOT NULL,
        warehouse_item_id bigint NOT NULL,
        revision integer NOT NULL,
        quantity bigint NOT NULL,
        reserved bigint NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, warehouse_item_id),
        CONSTRAINT reserved_is_in_stock CHECK (0 <= reserved AND reserved <= quantity)
    )""",
    "stock_allocation": """(
        tenant text NOT NULL,
        order_id bigint NOT NULL,
        warehouse_item_id bigint NOT NULL,
        reserved bigint NOT NULL,
        written_off bigint NOT NULL,
        PRIMARY KEY (tenant, order_id, warehouse_item_id)
    )""",
    "stock_movement": """(
        tenant text NOT NULL,
        warehouse_item_id bigint NOT NULL,
        revision integer NOT NULL,
        type text NOT NULL,
        quantity bigint NOT NULL,
        quantity_before bigint NOT NULL,
        quantity_after bigint NOT NULL,
        description text NOT NULL,
        reference_type text NOT NULL,
        reference_id text,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, warehouse_item_id, revision),
        CONSTRAINT balance
            CHECK (quantity_before + quantity = quantity_after AND quantity_before >= 0
                AND quantity_after >= 0)
    )""",
    "receipt": """(
        tenant text NOT NULL,
        receipt_id bigint NOT NULL,
        kind text NOT NULL,
        goods jsonb NOT NULL,
        is_archived boolean NOT NULL,
        PRIMARY KEY (tenant, receipt_id)
    )""",
}
INDEXES: Final = (
    """CREATE INDEX warehouse_item_newest ON warehouse_item
        (tenant, created_at DESC, warehouse_item_id DESC) WHERE NOT hidden""",
    "CREATE INDEX receipt_newest ON receipt (tenant, kind, receipt_id DESC)",
)
SEQUENCES: Final = ("warehouse_item_ids", "receipt_ids", "flower_category_ids")


def upgrade() -> None:
    """Create the tables, and the sequences of their ids."""
    create_tenant_tables(op, TABLES, INDEXES)
    for name in SEQUENCES:
        create_sequence(op, name)
