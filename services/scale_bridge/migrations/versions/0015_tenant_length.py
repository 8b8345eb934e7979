"""A tenant is no longer in the log than it may be on the wire; older rows stay as they are."""

from functools import partial

from alembic import op

from libs.eventsourcing.schema import limit_tenants

revision = "0015_tenant_length"
down_revision = "0013_revoked_sessions"

upgrade = partial(limit_tenants, op)
