"""The tables that every service has, for the first migration of a new one."""

from libs.eventsourcing.schema import TENANT_LENGTH, create_log
from libs.http.revoked_sessions import create_revoked_sessions
from libs.messaging.inbox_schema import (
    create_inbox,
    create_subscriptions,
)
from libs.messaging.schema import RELAY, add_incarnations
from libs.postgres.rls import Migration, application_role, create, enable_tenant_rls
from libs.projections.schema import create_projections

RELAY_TABLES = ("relay", "relay_heads")
OF_TENANTS = ("events", "parked_events", "inbox")


def create_service_schema(op: Migration, service: str) -> None:
    """Create log, relay, checkpoints, inbox and revoked sessions in the schema.

    What names a tenant is under row-level security.
    """
    role = application_role(service)
    create_log(op, application_role=role)
    op.execute(TENANT_LENGTH)
    create(op, RELAY, RELAY_TABLES, role)
    add_incarnations(op, application_role=role)
    create_projections(op, application_role=role)
    create_inbox(op, application_role=role)
    create_subscriptions(op, application_role=role)
    create_revoked_sessions(op)
    for table in OF_TENANTS:
        enable_tenant_rls(op, table)
