"""The log of ingest, and where relay and projectors stand."""

from typing import Final

from alembic import op

from libs.eventsourcing.schema import create_log
from libs.messaging.schema import create_messaging
from libs.postgres.rls import application_role, enable_tenant_rls

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Create the log, fenced by tenant."""
    role = application_role("ingest")
    create_log(op, application_role=role)
    create_messaging(op, application_role=role)
    for table in ("events", "parked_streams", "parked"):
        enable_tenant_rls(op, table)
