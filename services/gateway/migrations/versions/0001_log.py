"""The log, and the places of relay and projectors."""

from alembic import op

from libs.eventsourcing.schema import create_log
from libs.messaging.schema import create_messaging
from libs.postgres.rls import application_role, enable_tenant_rls

revision = "0001"
down_revision = None

ROLE = application_role("gateway")


def upgrade() -> None:
    """Create them; rows of the log are fenced by tenant."""
    create_log(op, application_role=ROLE)
    enable_tenant_rls(op, "events")
    create_messaging(op, application_role=ROLE)
