"""Which sessions are over, as API processes load it from their own database."""

from functools import partial

from alembic import op

from libs.http.revoked_sessions import create_revoked_sessions

revision = "0015"
down_revision = "0014"

upgrade = partial(create_revoked_sessions, op)
