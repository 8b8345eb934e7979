"""What the gateway's schema keeps apart."""

import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool, tenant_transaction
from libs.postgres.rls import application_role


async def opened(database: str, tenant_scope: str | None) -> Pool:
    return await open_pool(
        database,
        role=application_role("gateway"),
        schema="gateway",
        size=1,
        application_name="test",
        tenant_scope=tenant_scope,
    )


@pytest.mark.parametrize(
    "table", ["events", "api_key", "parked_streams", "parked", "idempotency", "key_use"]
)
async def test_every_table_with_tenants_is_fenced(database: str, table: str) -> None:
    migrate("gateway", database)
    pool = await opened(database, SYSTEM)

    fenced = await pool.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass", table
    )
    await pool.close()

    assert fenced is not None
    assert tuple(fenced) == (True, True)


async def test_parked_events_are_seen_by_their_tenant_and_by_the_worker(database: str) -> None:
    migrate("gateway", database)
    worker, people = await opened(database, SYSTEM), await opened(database, None)
    await worker.execute(
        """INSERT INTO parked_streams (projection, tenant, stream, reason, error)
        VALUES ('api_key', 'demo', 'key-1', 'poison', 'ValueError')"""
    )

    seen = {}
    for tenant in ("demo", "other"):
        async with tenant_transaction(people, tenant) as connection:
            seen[tenant] = await connection.fetchval("SELECT count(*) FROM parked_streams")
    seen["worker"] = await worker.fetchval("SELECT count(*) FROM parked_streams")
    await worker.close()
    await people.close()

    assert seen == {"demo": 1, "other": 0, "worker": 1}
