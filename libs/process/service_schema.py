"""The tables that every service has, for the first migration of a new one."""

from libs.eventsourcing.schema import create_log, drop_log, limit_tenants
from libs.http.revoked_sessions import create_revoked_sessions, drop_revoked_sessions
from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
    drop_inbox,
    drop_subscriptions,
)
from libs.messaging.schema import RELAY, add_incarnations, drop_incarnations
from libs.postgres.rls import Migration, create, drop_tables
from libs.projections.schema import create_projections, drop_projections

RELAY_TABLES = ("relay", "relay_heads")


def create_service_schema(op: Migration) -> None:
    """Create log, relay, places of read models, inbox and revoked sessions in the schema.

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


def drop_service_schema(op: Migration) -> None:
    """Undo `create_service_schema`, losing every event."""
    drop_revoked_sessions(op)
    drop_subscriptions(op)
    drop_inbox(op)
    drop_projections(op)
    drop_incarnations(op)
    drop_tables(op, *RELAY_TABLES)
    drop_log(op)
