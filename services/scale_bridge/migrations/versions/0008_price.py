"""What the shop said things cost, and which price reached which scale.

`price_delivery` can be rebuilt from the log. `price` cannot: it is the shop's, and holds what the
shop's topic said; who asks that again from its beginning has it back as far as the topic goes.
"""

from typing import Final

from alembic import op

from libs.postgres.rls import create_tenant_tables

revision: Final = "0008_price"
down_revision: Final = "0007_reading"

TABLES: Final = {
    "price": """(
        tenant text NOT NULL,
        price_id uuid NOT NULL,
        article bigint NOT NULL,
        price double precision NOT NULL,
        valid_at timestamptz NOT NULL,
        announced_by text NOT NULL,
        announced_at timestamptz NOT NULL,
        trace text NOT NULL,
        kept_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, price_id)
    )""",
    "price_delivery": """(
        tenant text NOT NULL,
        device_id uuid NOT NULL,
        plu text NOT NULL,
        price_id uuid NOT NULL,
        version bigint NOT NULL,
        article bigint NOT NULL,
        price double precision NOT NULL,
        changed boolean NOT NULL,
        revision bigint NOT NULL,
        valid_at timestamptz NOT NULL,
        announced_at timestamptz NOT NULL,
        taken_at timestamptz NOT NULL,
        overridden_at timestamptz,
        overridden_by text,
        PRIMARY KEY (tenant, device_id, plu, price_id)
    ) WITH (fillfactor = 70)""",
}
INDEXES: Final = (
    "CREATE INDEX price_article ON price (tenant, article, valid_at, announced_at, price_id)",
    "CREATE INDEX price_valid ON price (valid_at)",
    "CREATE INDEX price_kept ON price (kept_at)",
    "CREATE INDEX price_delivery_price ON price_delivery (tenant, price_id)",
)


def upgrade() -> None:
    """Create the tables, fenced by tenant; copies of catalogues know the prices they have."""
    create_tenant_tables(op, TABLES, INDEXES)
    op.execute("ALTER TABLE catalogue_copy ADD COLUMN taken jsonb")
