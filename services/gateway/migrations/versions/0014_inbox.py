"""The inbox of reactions, and how far they have read other services' topics."""

from typing import Final

from alembic import op

from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
)
from libs.postgres.rls import application_role, enable_tenant_rls

revision: Final = "0014_inbox"
down_revision: Final = "0013_incarnation"


def upgrade() -> None:
    """Create the tables."""
    role = application_role("gateway")
    create_inbox(op, application_role=role)
    enable_tenant_rls(op, "inbox")
    create_subscriptions(op, application_role=role)
