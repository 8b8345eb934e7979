"""Which sessions are over, as API processes load it from their own database."""

from functools import partial

from alembic import op

from libs.http.revoked_sessions import create_revoked_sessions

revision = "0013_revoked_sessions"
down_revision = "0012_subscriptions"

upgrade = partial(create_revoked_sessions, op)
