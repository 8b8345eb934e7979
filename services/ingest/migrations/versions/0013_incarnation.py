"""The id and the incarnation of the log, and topics that are sent again."""

from functools import partial

from alembic import op

from libs.messaging.schema import add_incarnations

revision = "0013"
down_revision = "0012"

upgrade = partial(add_incarnations, op)
