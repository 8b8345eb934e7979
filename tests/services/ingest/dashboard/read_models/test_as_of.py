"""What was known at an earlier instant, by a real log."""

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
from libs.postgres.pool import Pool
from services.ingest.dashboard.read_models import activity, as_of, box, presence
from services.ingest.dashboard.read_models.as_of import Past
from services.ingest.dashboard.read_models.kept_past import KeptPast
from services.ingest.removals.handlers.removal import Order, remove_listed
from services.ingest.removals.handlers.undo import undo_import
from services.ingest.scans.domain import identity
from services.ingest.scans.handlers.recordings import fact_of
from services.ingest.scans.read_models import scan_log
from tests.services.ingest.history import NOON, TODAY, ZONE, Store, a_scan, append, asking


async def fill(store: Store, tenant: str, first: int, number: int) -> None:
    scans = [a_scan(n, operator=f"{tenant}'s anna") for n in range(first, first + number)]
    await append(store, *scans, tenant=tenant)


async def items(reading: Pool, past: Past) -> dict[str, int]:
    projections = (activity.projection(ZONE), presence.projection())
    async with as_of.known(reading, past, projections, TODAY, kept=KeptPast()) as connection:
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


async def look(reading: Pool, past: Past, kept: KeptPast) -> list[Any]:
    """The dashboard and the boxes at an instant."""
    answers: list[Any] = []
    for question in (asking(tenant=past.tenant, operator="anna"), asking(tenant=past.tenant)):
        models = (activity.projection(ZONE), presence.projection(), scan_log.projection(ZONE))
        rows = as_of.newest_rows(question, 4)
        async with as_of.known(reading, past, models, TODAY, kept=kept, rows=rows) as connection:
            found = await activity.answer(connection, question)
            seen = await presence.last_seen(connection, past.tenant, list(found.operators))
            answers += [found, seen, await scan_log.page(connection, question, limit=4)]
        rows = as_of.items_of_boxes(question, limit=5, offset=0, items=3)
        of_boxes = (box.projection(ZONE), scan_log.projection(ZONE))
        async with as_of.known(reading, past, of_boxes, TODAY, kept=kept, rows=rows) as connection:
            answers.append(await box.answer(connection, question, limit=5, items=3))
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
                fact_of(identity.scan_event(namespace, scan.scan_id), scan, namespace)
                for scan in some_scans(random, 5)
            ]
            await store.record(facts, metadata=metadata)
        case 2:
            scans = [ScanId(UUID(int=random.randrange(60))) for _ in range(4)]
            order = Order(kind="BULK_REMOVE", operator="vera", reason="", at=NOON)
            await remove_listed(store, scans, order=order, metadata=Metadata(tenant="demo"))
        case _:
            await append(store, *some_scans(random, random.randrange(1, 12)))


async def insert(connection: Any, store: Store, scan: ScanRecorded) -> None:
    """Record a scan in the connection's transaction."""
    namespace = identity.namespace("demo")
    fact = fact_of(identity.scan_event(namespace, scan.scan_id), scan, namespace)
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
async def test_what_is_kept_answers_every_instant_as_if_it_was_asked_first(
    pool: Pool, reading_pool: Pool, stores: list[Store], seed: int
) -> None:
    random, kept, runs = Random(seed), KeptPast(step=7), list[str]()
    late = await pool.acquire()
    beginning = late.transaction()
    await beginning.start()
    await late.execute("SELECT now()")
    for turn in range(12):
        await change(random, stores[0], runs)
        if turn == 6:
            # It began before all others, and comes last.
            await insert(late, stores[0], a_scan(99, box="ivancov/1"))
            await beginning.commit()
        instants = await recorded_at(pool)
        for at in {instants[-1], *random.choices(instants, k=2)}:
            past = Past(store=stores[0], tenant="demo", at=at, zone=ZONE)
            kept_answer = await look(reading_pool, past, kept)
            assert kept_answer == await look(reading_pool, past, KeptPast()), (turn, at)
    await pool.release(late)
    assert kept.size > 0
