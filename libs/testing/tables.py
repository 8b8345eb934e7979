"""The tables that every service has after its migrations, for tests without a service."""

from collections.abc import Iterator, Mapping
from typing import Final

from libs.eventsourcing.schema import APPEND_ONLY, EVENTS, INDEXES
from libs.http import revoked_sessions
from libs.messaging.inbox_schema import INBOX, INBOX_INDEXES, SUBSCRIPTIONS
from libs.messaging.schema import FIRST_BATCH, RELAY
from libs.projections.schema import PARKED, POSITIONS


def _create(tables: Mapping[str, str]) -> Iterator[str]:
    return (f"CREATE TABLE {name} {definition}" for name, definition in tables.items())


LOG_TABLES: Final = (*_create(EVENTS), *INDEXES, *APPEND_ONLY)
RELAY_TABLES: Final = (*_create(RELAY), FIRST_BATCH)
PROJECTION_TABLES: Final = (*_create(POSITIONS | PARKED),)
REACTION_TABLES: Final = (*_create(INBOX), *INBOX_INDEXES, *_create(SUBSCRIPTIONS))
REVOCATION_TABLES: Final = (
    *_create(revoked_sessions.SESSIONS | revoked_sessions.LEVEL),
    revoked_sessions.INDEX,
    revoked_sessions.FIRST_LEVEL,
)
