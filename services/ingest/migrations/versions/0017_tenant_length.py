"""A tenant is no longer in the log than it may be on the wire; rows of before stay as they are."""

from typing import Final

from alembic import op

from libs.eventsourcing.schema import TENANT_LENGTH

revision: Final = "0017"
down_revision: Final = "0015"


def upgrade() -> None:
    """Refuse longer ones from now on."""
    op.execute(TENANT_LENGTH)
