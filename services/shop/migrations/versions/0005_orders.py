"""Orders, their history, comments and photos."""

from typing import Final

from alembic import op

from libs.postgres.rls import create_sequence, create_tenant_tables

revision: Final = "0005"
down_revision: Final = "0004"

TABLES: Final = {
    "customer_orders": """(
        tenant text NOT NULL,
        order_id bigint NOT NULL,
        version bigint NOT NULL,
        subject text NOT NULL,
        customer_id bigint,
        number text,
        tracking_token text,
        status text,
        customer_phone text,
        recipient_phone text,
        recipient_name text,
        address text,
        card_text text,
        delivery_time_text text,
        issue_comment text,
        state jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, order_id)
    )""",
    "order_history": """(
        tenant text NOT NULL,
        order_id bigint NOT NULL,
        version bigint NOT NULL,
        subject text NOT NULL,
        event_type text NOT NULL,
        old_status text,
        new_status text,
        comment text,
        actor text,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, order_id, version)
    )""",
    "order_comment": """(
        tenant text NOT NULL,
        comment_id bigint NOT NULL,
        version bigint NOT NULL,
        order_id bigint NOT NULL,
        subject text NOT NULL,
        text text,
        author text,
        customer_name text,
        is_removed boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, comment_id)
    )""",
    "order_photo": """(
        tenant text NOT NULL,
        photo_id bigint NOT NULL,
        version bigint NOT NULL,
        order_id bigint NOT NULL,
        subject text NOT NULL,
        file text,
        photo_type text,
        description text,
        customer_feedback text,
        feedback_comment text,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, photo_id)
    )""",
    "order_count": """(
        tenant text NOT NULL,
        status text NOT NULL,
        orders bigint NOT NULL,
        PRIMARY KEY (tenant, status)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX customer_orders_number ON customer_orders (number)",
    "CREATE INDEX customer_orders_token ON customer_orders (tracking_token)",
    "CREATE INDEX customer_orders_id ON customer_orders (order_id)",
    "CREATE INDEX customer_orders_customer ON customer_orders (tenant, customer_id, order_id)",
    "CREATE INDEX customer_orders_status ON customer_orders (tenant, status, order_id)",
    """CREATE INDEX customer_orders_products ON customer_orders
    USING gin ((state -> 'lines') jsonb_path_ops)""",
    "CREATE INDEX customer_orders_subject ON customer_orders (tenant, subject)",
    "CREATE INDEX order_history_subject ON order_history (tenant, subject)",
    "CREATE INDEX order_comment_order ON order_comment (tenant, order_id)",
    "CREATE INDEX order_comment_subject ON order_comment (tenant, subject)",
    "CREATE INDEX order_photo_order ON order_photo (tenant, order_id)",
    "CREATE INDEX order_photo_subject ON order_photo (tenant, subject)",
)
SEQUENCES: Final = (
    *("order_number", "order_item_number", "order_comment_number", "order_photo_number"),
)


def upgrade() -> None:
    """Create the tables, and the sequences of ids."""
    create_tenant_tables(op, TABLES, INDEXES)
    for sequence in SEQUENCES:
        create_sequence(op, sequence)
