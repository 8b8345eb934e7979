"""The tables that every service has after its migrations, for tests without a service."""

from typing import Final

from libs.eventsourcing.schema import APPEND_ONLY, EVENTS, INDEXES, TENANT_LENGTH
from libs.messaging.inbox_schema import FENCED, INBOX, INBOX_INDEXES, SUBSCRIPTIONS
from libs.messaging.schema import INCARNATIONS, RELAY
from libs.projections.schema import CHECKPOINTS, PARKED, PROJECTIONS

LOG_TABLES: Final = (EVENTS, *INDEXES, *APPEND_ONLY, TENANT_LENGTH)
RELAY_TABLES: Final = (*RELAY, *INCARNATIONS)
PROJECTION_TABLES: Final = (CHECKPOINTS, PROJECTIONS, PARKED)
REACTION_TABLES: Final = (INBOX, *INBOX_INDEXES, *FENCED, *SUBSCRIPTIONS)
