"""All processes together fit into the 100 connections Postgres allows by default.

Context: every process pools for itself, and a database that refuses connections takes all
services down at once. Decision: pools are small and counted here. Consequence: whoever adds a
projection or enlarges a pool sees the sum.
"""

from collections.abc import Sequence

from libs.settings import ServiceSettings
from services.gateway import bootstrap as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.ingest import bootstrap as ingest
from services.ingest.settings import Settings as IngestSettings
from services.scale_bridge import bootstrap as scale_bridge
from services.scale_bridge.settings import Settings as ScaleBridgeSettings

DEFAULT_LIMIT = 100
RESERVED = 3 + 4
"""Postgres keeps three for superusers; one operator may mend something."""
SERVICES_PLANNED = 6
SHARE_OF_ONE_TO_COME = (DEFAULT_LIMIT - RESERVED) // SERVICES_PLANNED


def connections(api: int, projections: Sequence[object]) -> int:
    """Those of a service's API, and of its worker: one per projection, relay and lookout."""
    return api + len(projections) + 2


def test_all_services_fit_into_one_server() -> None:
    pool: int = ServiceSettings.model_fields["pool_size"].default
    built = [
        connections(
            ingest.LOG_CONNECTIONS + pool,
            ingest.projections(IngestSettings.model_construct(timezone="UTC")),
        ),
        connections(pool, gateway.projections(GatewaySettings.model_construct())),
        connections(
            scale_bridge.LOG_CONNECTIONS + ScaleBridgeSettings.model_fields["pool_size"].default,
            scale_bridge.projections(ScaleBridgeSettings.model_construct()),
        )
        + scale_bridge.LOOKING_CONNECTIONS
        + scale_bridge.BRIDGE_CONNECTIONS,
    ]

    to_come = (SERVICES_PLANNED - len(built)) * SHARE_OF_ONE_TO_COME
    assert sum(built) + to_come <= DEFAULT_LIMIT - RESERVED
