"""The tables that every service has, for its first migration."""

from libs.eventsourcing.schema import create_log
from libs.http.revoked_sessions import create_revoked_sessions
from libs.messaging.inbox_schema import create_reactions
from libs.messaging.schema import create_relay
from libs.postgres.rls import Migration
from libs.projections.schema import create_projections


def create_service_schema(op: Migration) -> None:
    """Create log, relay, checkpoints, inbox and revoked sessions in the schema.

    What names a tenant is under row-level security.
    """
    create_log(op)
    create_relay(op)
    create_projections(op)
    create_reactions(op)
    create_revoked_sessions(op)
