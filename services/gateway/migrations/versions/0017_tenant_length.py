"""A tenant is no longer in the log than it may be on the wire; rows of before stay as they are."""

from functools import partial

from alembic import op

from libs.eventsourcing.schema import limit_tenants

revision = "0017_tenant_length"
down_revision = "0015_revoked_sessions"

upgrade = partial(limit_tenants, op)
