"""A tenant is no longer in the log than it may be on the wire; older rows stay as they are."""

from typing import Final

from alembic import op

from libs.eventsourcing.schema import TENANT_LENGTH

revision: Final = "0015_tenant_length"
down_revision: Final = "0013_revoked_sessions"


def upgrade() -> None:
    """Refuse longer tenants from now on."""
    op.execute(TENANT_LENGTH)
