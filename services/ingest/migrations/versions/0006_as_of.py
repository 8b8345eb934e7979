"""Ways into the log by the time an event is about, and by who was heard of last."""

from typing import Final

from alembic import op

from libs.eventsourcing.past import INDEXES
from libs.postgres.rls import application_role

revision: Final = "0006"
down_revision: Final = "0005"

# Public by default, but an installation may have closed its databases.
TEMPORARY: Final = """
DO $$ BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO "{role}"', current_database());
END $$
"""


def upgrade() -> None:
    """Index the log, and let answers about the past be worked out in temporary tables."""
    for index in INDEXES:
        op.execute(index)
    op.execute(TEMPORARY.format(role=application_role("ingest")))
