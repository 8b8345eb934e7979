"""Tasks of florists, and their lines; timers."""

from typing import Final

from alembic import op

from libs.jobs.timers import create_timer_table
from libs.postgres.rls import create_sequence, create_tenant_tables

revision: Final = "0006"
down_revision: Final = "0005"

TABLES: Final = {
    "florist_task": """(
        tenant text NOT NULL,
        task_id bigint NOT NULL,
        version bigint NOT NULL,
        subject text NOT NULL,
        order_id bigint NOT NULL,
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
        assigned_at timestamptz,
        started_at timestamptz,
        completed_at timestamptz,
        state jsonb NOT NULL,
        instructions text,
        florist_notes text,
        quality_notes text,
        PRIMARY KEY (tenant, task_id)
    )""",
    "florist_task_item": """(
        tenant text NOT NULL,
        item_id bigint NOT NULL,
        version bigint NOT NULL,
        task_id bigint NOT NULL,
        subject text NOT NULL,
        order_item_id bigint NOT NULL,
        quantity integer NOT NULL,
        is_completed boolean NOT NULL,
        completed_at timestamptz,
        quality_approved boolean,
        quality_notes text,
        PRIMARY KEY (tenant, item_id)
    )""",
}
INDEXES: Final = (
    "CREATE INDEX florist_task_queue ON florist_task (tenant, status, rank, created_at, task_id)",
    "CREATE INDEX florist_task_order ON florist_task (tenant, order_id)",
    "CREATE INDEX florist_task_florist ON florist_task (tenant, florist, status)",
    "CREATE INDEX florist_task_subject ON florist_task (tenant, subject)",
    "CREATE INDEX florist_task_item_task ON florist_task_item (tenant, task_id)",
    "CREATE INDEX florist_task_item_subject ON florist_task_item (tenant, subject)",
)
SEQUENCES: Final = ("task_number", "task_item_number")


def upgrade() -> None:
    """Create the tables, those of timers, and the sequences of ids."""
    create_tenant_tables(op, TABLES, INDEXES)
    create_timer_table(op)
    for sequence in SEQUENCES:
        create_sequence(op, sequence)
