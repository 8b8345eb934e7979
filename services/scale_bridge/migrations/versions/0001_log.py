"""The log of the scale bridge, and where relay and projectors stand."""

from typing import Final

from alembic import op

from libs.eventsourcing.schema import create_log
from libs.messaging.schema import create_messaging
from libs.postgres.rls import enable_tenant_rls

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Create the log, fenced by tenant."""
    create_log(op)
    create_messaging(op)
    for table in ("parked_streams", "parked"):
        enable_tenant_rls(op, table)
