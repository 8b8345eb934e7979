"""Every table of every service with a tenant has row-level security, also for its owner."""

from typing import Final

import asyncpg
import pytest

from libs.testing.databases import migrated

OPEN: Final = {
    "schema_version",
    *("relay", "relay_heads", "relay_topics", "relay_republish"),
    *("projections", "projection_checkpoints"),
    *("subscription_positions", "subscription_chains", "subscription_gaps"),
}
"""Positions of relay and projections, without data of tenants."""
SHARED: Final = {"scale_bridge": {"lease", "breaker", "pace"}}
"""Tables without a tenant: a scale may belong to several tenants, so its lease and state do not."""
UNFENCED: Final = """
SELECT relname FROM pg_class
WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')
AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (
    SELECT FROM pg_policy WHERE polrelid = pg_class.oid))"""


@pytest.mark.parametrize("service", ["gateway", "ingest", "scale_bridge"])
async def test_every_table_has_row_level_security(postgres_url: str, service: str) -> None:
    with migrated(postgres_url, service) as url:
        connection = await asyncpg.connect(url)
        unfenced = {row["relname"] for row in await connection.fetch(UNFENCED, service)}
        await connection.close()

    assert unfenced == OPEN | SHARED.get(service, set())
