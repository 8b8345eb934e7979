"""What was known at an earlier instant, by a real log."""

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from deploy.local.postgres import query
from libs.postgres.pool import Pool
from services.ingest.read_models import activity, as_of, presence
from services.ingest.read_models.as_of import Past
from tests.services.ingest.history import TODAY, ZONE, Store, a_scan, append, asking


async def fill(store: Store, tenant: str, first: int, number: int) -> None:
    scans = [a_scan(n, operator=f"{tenant}'s anna") for n in range(first, first + number)]
    await append(store, *scans, tenant=tenant)


async def items(reading: Pool, past: Past) -> dict[str, int]:
    projections = (activity.projection(ZONE), presence.projection())
    async with as_of.known(reading, past, projections, TODAY) as connection:
        found = await activity.answer(connection, asking(tenant=past.tenant))
        seen = await presence.last_seen(connection, past.tenant, list(found.operators))
        assert seen.keys() == found.operators.keys()
    return {name: counts.items for name, counts in found.operators.items()}


async def recorded_at(pool: Pool) -> list[datetime]:
    rows = await pool.fetch("SELECT DISTINCT recorded_at FROM events ORDER BY 1")
    return [row[0] for row in rows]


async def test_an_append_is_known_from_its_microsecond_on_to_its_tenant_alone(
    pool: Pool, reading_pool: Pool, stores: list[Store]
) -> None:
    await fill(stores[0], "demo", 1, 3)
    await fill(stores[0], "other", 1, 7)
    # More than a page, of one instant.
    await fill(stores[0], "demo", 10, as_of.PAGE + 5)
    instants = await recorded_at(pool)
    now = Past(store=stores[0], tenant="demo", at=instants[-1], zone=ZONE)

    assert await items(reading_pool, now) == {"demo's anna": as_of.PAGE + 8}
    assert await items(reading_pool, replace(now, at=instants[0])) == {"demo's anna": 3}
    assert await items(reading_pool, replace(now, at=instants[0] - timedelta.resolution)) == {}
    assert await items(reading_pool, replace(now, tenant="other")) == {"other's anna": 7}
    assert await items(reading_pool, replace(now, tenant="third")) == {}


async def test_nothing_stays_behind(pool: Pool, reading_pool: Pool, stores: list[Store]) -> None:
    await fill(stores[0], "demo", 1, 3)
    past = Past(store=stores[0], tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    for _ in range(3):
        assert await items(reading_pool, past) == {"demo's anna": 3}

    assert await pool.fetchval("SELECT count(*) FROM activity") == 0
    assert await pool.fetchval("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


async def test_a_database_closed_to_the_public_lets_ingest_look_back(
    database: str,
    postgres_url: str,
    pool: Pool,
    reading_pool: Pool,
    stores: list[Store],
) -> None:
    name = urlsplit(database).path.removeprefix("/")
    query(postgres_url, f"revoke all on database {name} from public")
    await fill(stores[0], "demo", 1, 3)

    past = Past(store=stores[0], tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    assert await items(reading_pool, past) == {"demo's anna": 3}
