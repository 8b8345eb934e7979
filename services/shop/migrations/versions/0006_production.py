"""Tasks of florists; timers."""

from typing import Final

from alembic import op

from libs.jobs.timers import create_timer_table
from libs.postgres.rls import create_sequence, create_tenant_tables

revision: Final = "0006"
down_revision: Final = "0005"

TABLES: Final = {
    "task": """(
        tenant text NOT NULL,
        task_id bigint NOT NULL,
        version bigint NOT NULL,
        state jsonb NOT NULL,
        order_id bigint NOT NULL,
        item_ids jsonb NOT NULL,
        task_type text NOT NULL,
        status text NOT NULL,
        priority text NOT NULL,
        rank integer NOT NULL,
        florist bigint,
        estimated_minutes integer NOT NULL,
        actual_minutes integer,
        quality_score integer,
        deadline timestamptz,
        created_at timestamptz NOT NULL,
        completed_at timestamptz,
        PRIMARY KEY (tenant, task_id)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX task_queue ON task (tenant, status, rank, created_at, task_id)",
    "CREATE INDEX task_order ON task (tenant, order_id)",
    "CREATE INDEX task_florist ON task (tenant, florist, status)",
    "CREATE INDEX task_items ON task USING gin (item_ids jsonb_path_ops)",
)
SEQUENCES: Final = ("task_number", "task_item_number")


def upgrade() -> None:
    """Create the tables, and the sequences of ids."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_timer_table(op)
    for sequence in SEQUENCES:
        create_sequence(op, sequence)
