"""The tables that every service has, for the first migration of a new one."""

from libs.eventsourcing.schema import create_log, limit_tenants
from libs.http.revoked_sessions import create_revoked_sessions
from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
)
from libs.messaging.schema import RELAY, add_incarnations
from libs.postgres.rls import Migration, create
from libs.projections.schema import create_projections

RELAY_TABLES = ("relay", "relay_heads")


def create_service_schema(op: Migration) -> None:
    """Create log, relay, checkpoints, inbox and revoked sessions in the schema.

    What names a tenant is under row-level security.
    """
    create_log(op)
    limit_tenants(op)
    create(op, RELAY, *RELAY_TABLES)
    add_incarnations(op)
    create_projections(op)
    create_inbox(op)
    create_subscriptions(op)
    create_revoked_sessions(op)
