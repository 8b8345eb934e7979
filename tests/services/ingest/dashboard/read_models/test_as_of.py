"""Read models of an earlier instant, from a real log."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from contracts.ingest import ScanId, ScanRecorded
from deploy.local.postgres import query
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import new_event_id
from libs.postgres.pool import Pool
from services.ingest.dashboard.read_models import activity, box, presence
from services.ingest.dashboard.read_models.as_of import (
    PAGE,
    AsOf,
    items_of_boxes,
    newest_rows,
    tables_as_of,
)
from services.ingest.dashboard.stores import PastCache
from services.ingest.removals.domain import RemoveItems
from services.ingest.removals.handlers.removal import remove_listed
from services.ingest.removals.handlers.undo import undo_import
from services.ingest.scans.domain import identity
from services.ingest.scans.handlers.recordings import scan_fact
from services.ingest.scans.read_models import scan_log
from tests.services.ingest.history import NOON, TODAY, ZONE, Store, a_filter, a_scan, append


async def fill(store: Store, tenant: str, first: int, number: int) -> None:
    scans = [a_scan(n, operator=f"{tenant}'s anna") for n in range(first, first + number)]
    await append(store, *scans, tenant=tenant)


async def items(reading: Pool, as_of: AsOf) -> dict[str, int]:
    projections = (activity.projection(ZONE), presence.projection())
    async with tables_as_of(reading, as_of, projections, TODAY, cache=PastCache()) as connection:
        counters = await activity.read_activity(connection, a_filter(tenant=as_of.tenant))
        seen = await presence.last_seen(connection, as_of.tenant, list(counters.operators))
        assert seen.keys() == counters.operators.keys()
    return {name: counts.items for name, counts in counters.operators.items()}


async def recorded_at(pool: Pool) -> list[datetime]:
    rows = await pool.fetch("SELECT DISTINCT recorded_at FROM events ORDER BY 1")
    return [row[0] for row in rows]


async def test_an_append_is_visible_from_its_microsecond_on_and_only_to_its_tenant(
    pool: Pool, reading_pool: Pool, stores: list[Store]
) -> None:
    await fill(stores[0], "demo", 1, 3)
    await fill(stores[0], "other", 1, 7)
    # More than a page, of one instant.
    await fill(stores[0], "demo", 10, PAGE + 5)
    instants = await recorded_at(pool)
    now = AsOf(store=stores[0], tenant="demo", at=instants[-1], zone=ZONE)

    assert await items(reading_pool, now) == {"demo's anna": PAGE + 8}
    assert await items(reading_pool, replace(now, at=instants[0])) == {"demo's anna": 3}
    assert await items(reading_pool, replace(now, at=instants[0] - timedelta.resolution)) == {}
    assert await items(reading_pool, replace(now, tenant="other")) == {"other's anna": 7}
    assert await items(reading_pool, replace(now, tenant="third")) == {}


async def test_a_query_of_the_past_leaves_no_tables(
    pool: Pool, reading_pool: Pool, stores: list[Store]
) -> None:
    await fill(stores[0], "demo", 1, 3)
    as_of = AsOf(store=stores[0], tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    for _ in range(3):
        assert await items(reading_pool, as_of) == {"demo's anna": 3}

    assert await pool.fetchval("SELECT count(*) FROM activity") == 0
    assert await pool.fetchval("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


async def test_a_database_closed_to_the_public_allows_queries_of_the_past(
    database: str,
    postgres_url: str,
    pool: Pool,
    reading_pool: Pool,
    stores: list[Store],
) -> None:
    name = urlsplit(database).path.removeprefix("/")
    query(postgres_url, f"revoke all on database {name} from public")
    await fill(stores[0], "demo", 1, 3)

    as_of = AsOf(store=stores[0], tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    assert await items(reading_pool, as_of) == {"demo's anna": 3}


async def read(reading: Pool, as_of: AsOf, cache: PastCache) -> list[Any]:
    """The dashboard and the boxes at an instant."""
    answers: list[Any] = []
    for scan_filter in (
        a_filter(tenant=as_of.tenant, operator="anna"),
        a_filter(tenant=as_of.tenant),
    ):
        models = (activity.projection(ZONE), presence.projection(), scan_log.projection(ZONE))
        select_rows = newest_rows(scan_filter, 4)
        async with tables_as_of(
            reading, as_of, models, TODAY, cache=cache, select_rows=select_rows
        ) as connection:
            counters = await activity.read_activity(connection, scan_filter)
            seen = await presence.last_seen(connection, as_of.tenant, list(counters.operators))
            answers += [counters, seen, await scan_log.page(connection, scan_filter, limit=4)]
        select_rows = items_of_boxes(scan_filter, limit=5, offset=0, items=3)
        of_boxes = (box.projection(ZONE), scan_log.projection(ZONE))
        async with tables_as_of(
            reading, as_of, of_boxes, TODAY, cache=cache, select_rows=select_rows
        ) as connection:
            answers.append(await box.read_boxes(connection, scan_filter, limit=5, items=3))
    return answers


def some_scans(random: Random, number: int) -> list[ScanRecorded]:
    return [
        a_scan(
            random.randrange(60),
            kind=random.choice(["ITEM", "ITEM", "ITEM", "BOX", "CLOSE"]),
            operator=random.choice(["anna", " Anna", "boris"]),
            box=f"ivancov/{random.randrange(3)}",
            scanned_at=(moment := NOON - timedelta(minutes=random.choice([0, 1, 1, 5, 2000]))),
            received_at=moment,
        )
        for _ in range(number)
    ]


async def change(random: Random, store: Store, runs: list[str]) -> None:
    """Scans are recorded, removed, imported, or an import is undone."""
    match random.randrange(5):
        case 0 if runs:
            await undo_import(store, "demo", runs.pop(), now=NOON)
        case 1:
            runs.append(run := str(random.random()))
            metadata = Metadata(tenant="demo", actor=identity.IMPORT, correlation_id=run)
            namespace = identity.namespace("demo")
            facts = [
                scan_fact(identity.scan_event(namespace, scan.scan_id), scan, namespace)
                for scan in some_scans(random, 5)
            ]
            await store.record(facts, metadata=metadata)
        case 2:
            scans = [ScanId(UUID(int=random.randrange(60))) for _ in range(4)]
            command = RemoveItems(
                removal_id=new_event_id(), kind="BULK_REMOVE", operator="vera", reason="", at=NOON
            )
            await remove_listed(store, scans, command=command, metadata=Metadata(tenant="demo"))
        case _:
            await append(store, *some_scans(random, random.randrange(1, 12)))


async def insert(connection: Any, store: Store, scan: ScanRecorded) -> None:
    """Record a scan in the connection's transaction."""
    namespace = identity.namespace("demo")
    fact = scan_fact(identity.scan_event(namespace, scan.scan_id), scan, namespace)
    name, version, data = store.codec.encode(scan)
    await connection.execute(
        """INSERT INTO events (event_id, tenant, stream, type, schema_version, data, metadata,
            occurred_at) VALUES ($1, 'demo', $2, $3, $4, $5::text::jsonb, '{}', $6)""",
        fact.event_id,
        fact.stream,
        name,
        version,
        data.decode(),
        fact.occurred_at,
    )


@pytest.mark.parametrize("seed", range(3))
async def test_a_cached_state_gives_the_same_result_as_a_first_query(
    pool: Pool, reading_pool: Pool, stores: list[Store], seed: int
) -> None:
    random, cache, runs = Random(seed), PastCache(step=7), list[str]()
    late = await pool.acquire()
    beginning = late.transaction()
    await beginning.start()
    await late.execute("SELECT now()")
    for step in range(12):
        await change(random, stores[0], runs)
        if step == 6:
            # It began before all others, and comes last.
            await insert(late, stores[0], a_scan(99, box="ivancov/1"))
            await beginning.commit()
        instants = await recorded_at(pool)
        for at in {instants[-1], *random.choices(instants, k=2)}:
            as_of = AsOf(store=stores[0], tenant="demo", at=at, zone=ZONE)
            cached = await read(reading_pool, as_of, cache)
            assert cached == await read(reading_pool, as_of, PastCache()), (step, at)
    await pool.release(late)
    assert cache.size > 0
