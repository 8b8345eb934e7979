"""The gateway's schema keeps tenants apart."""

import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import Pool, tenant_transaction
from libs.testing.pools import tenant_pool


@pytest.mark.parametrize(
    "table", ["events", "api_key", "parked_streams", "parked", "idempotency", "key_use"]
)
async def test_every_table_with_tenants_is_fenced(pool: Pool, table: str) -> None:
    fenced = await pool.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass", table
    )

    assert fenced is not None
    assert tuple(fenced) == (True, True)


async def test_parked_events_are_seen_by_tenant_and_worker(own_pool: Pool, database: str) -> None:
    migrate("gateway", database)  # Again changes nothing.
    await own_pool.execute(
        """INSERT INTO parked_streams (projection, tenant, stream, reason, error)
        VALUES ('api_key', 'demo', 'key-1', 'poison', 'ValueError')"""
    )
    count = "SELECT count(*) FROM parked_streams"

    seen = {"worker": await own_pool.fetchval(count)}
    async with tenant_pool(database, "gateway") as tenants:
        for tenant in ("demo", "other"):
            async with tenant_transaction(tenants, tenant) as connection:
                seen[tenant] = await connection.fetchval(count)

    assert seen == {"demo": 1, "other": 0, "worker": 1}
