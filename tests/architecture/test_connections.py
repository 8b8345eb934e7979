"""All processes together fit into the 100 connections Postgres allows by default.

Context: every process pools for itself, and a database that refuses connections takes all
services down at once. Decision: pools are small and counted here. Consequence: whoever adds a
projection or enlarges a pool sees the sum.
"""

from typing import Any

import pytest

from libs.settings import ServiceSettings
from services.gateway import bootstrap as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.ingest import bootstrap as ingest
from services.ingest.settings import Settings as IngestSettings

DEFAULT_LIMIT = 100
RESERVED = 3 + 4
"""Postgres keeps three for superusers; one operator may mend something."""
SERVICES_PLANNED = 6


def settings(kind: type[ServiceSettings], **told: Any) -> Any:
    return kind.model_construct(**told)


@pytest.mark.parametrize(
    ("api", "projections"),
    [
        (
            ingest.LOG_CONNECTIONS + ServiceSettings.model_fields["pool_size"].default,
            ingest.projections(settings(IngestSettings, timezone="UTC")),
        ),
        (
            ServiceSettings.model_fields["pool_size"].default,
            gateway.projections(settings(GatewaySettings)),
        ),
    ],
    ids=["ingest", "gateway"],
)
def test_a_service_takes_no_more_than_its_share(api: int, projections: Any) -> None:
    worker = len(projections) + 2

    assert api + worker <= (DEFAULT_LIMIT - RESERVED) // SERVICES_PLANNED
