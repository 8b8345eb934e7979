"""The id and the incarnation of the log, and topics that are sent again."""

from functools import partial

from alembic import op

from libs.messaging.schema import add_incarnations

revision = "0011_incarnation"
down_revision = "0010_follow_log"

upgrade = partial(add_incarnations, op)
