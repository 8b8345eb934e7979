"""The queue, the timers, and what was done."""

from alembic import op

from libs.jobs.table import create_job_table
from libs.jobs.timers import create_timer_table
from libs.postgres.rls import create_tenant_tables
from tests.libs.jobs.bakery import LOAVES

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    own = {"grain": "text NOT NULL", "deadline_at": "timestamptz", "oven": "text"}
    create_job_table(op, LOAVES, own)
    create_timer_table(op)
    create_tenant_tables(op, {"baked": "(tenant text NOT NULL, number int, by text)"})
