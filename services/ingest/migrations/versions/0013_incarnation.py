"""The id and the incarnation of the log, and topics that are sent again."""

from typing import Final

from alembic import op

from libs.messaging.schema import add_incarnations
from libs.postgres.rls import application_role

revision: Final = "0013"
down_revision: Final = "0012"


def upgrade() -> None:
    """Every record says which log it is from, and since which restore."""
    add_incarnations(op, application_role=application_role("ingest"))
