"""What was known at an earlier instant, by a real log."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime
from urllib.parse import urlsplit

import pytest
from tests.services.ingest.told import ZONE, a_scan

from contracts.ingest import EVENTS, IngestEvent
from deploy.local.postgres import query
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, Fact
from libs.postgres.pool import Pool
from services.ingest.domain import identity
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import activity, as_of, presence
from services.ingest.read_models.as_of import Past

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))


@pytest.fixture
async def real(pool: Pool) -> AsyncIterator[EventStore[IngestEvent]]:
    """A log in the database of the read models."""
    log = PostgresLog(pool)
    yield EventStore(log, Codec[IngestEvent](EVENTS))
    await log.close()


async def tell(store: EventStore[IngestEvent], tenant: str, first: int, number: int) -> None:
    """Scans of one operator, in one append."""
    namespace = identity.namespace(tenant)
    facts: list[Fact[IngestEvent]] = []
    for n in range(first, first + number):
        scan = a_scan(n, operator=f"{tenant}'s anna")
        facts.append(
            Fact(
                event_id=identity.scan_event(namespace, scan.scan_id),
                stream=identity.scan_stream(namespace, scan.operator),
                event=scan,
                occurred_at=scan.effective_at,
            )
        )
    await store.record(facts, cause=Cause(tenant=tenant))


async def items(reading: Pool, past: Past) -> dict[str, int]:
    projections = (activity.projection(ZONE), presence.projection())
    question = Question(tenant=past.tenant, days=TODAY)
    async with as_of.known(reading, past, projections, TODAY) as connection:
        found = await activity.answer(connection, question)
        seen = await presence.last_seen(connection, past.tenant, list(found.operators))
        assert seen.keys() == found.operators.keys()
    return {name: counts.items for name, counts in found.operators.items()}


async def recorded_at(pool: Pool) -> list[datetime]:
    rows = await pool.fetch("SELECT DISTINCT recorded_at FROM events ORDER BY 1")
    return [row[0] for row in rows]


async def test_an_append_is_known_from_its_microsecond_on_to_its_tenant_alone(
    pool: Pool, reading_pool: Pool, real: EventStore[IngestEvent]
) -> None:
    await tell(real, "demo", 1, 3)
    await tell(real, "other", 1, 7)
    # More than a page, of one instant.
    await tell(real, "demo", 10, as_of.PAGE + 5)
    instants = await recorded_at(pool)
    now = Past(store=real, tenant="demo", at=instants[-1], zone=ZONE)

    assert await items(reading_pool, now) == {"demo's anna": as_of.PAGE + 8}
    assert await items(reading_pool, replace(now, at=instants[0])) == {"demo's anna": 3}
    assert await items(reading_pool, replace(now, tenant="other")) == {"other's anna": 7}
    assert await items(reading_pool, replace(now, tenant="third")) == {}


async def test_nothing_stays_behind(
    pool: Pool, reading_pool: Pool, real: EventStore[IngestEvent]
) -> None:
    await tell(real, "demo", 1, 3)
    past = Past(store=real, tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    for _ in range(3):
        assert await items(reading_pool, past) == {"demo's anna": 3}

    assert await pool.fetchval("SELECT count(*) FROM activity") == 0
    assert await pool.fetchval("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


async def test_a_database_closed_to_the_public_lets_ingest_look_back(
    database: str,
    postgres_url: str,
    pool: Pool,
    reading_pool: Pool,
    real: EventStore[IngestEvent],
) -> None:
    name = urlsplit(database).path.removeprefix("/")
    query(postgres_url, f"revoke all on database {name} from public")
    await tell(real, "demo", 1, 3)

    past = Past(store=real, tenant="demo", at=(await recorded_at(pool))[-1], zone=ZONE)

    assert await items(reading_pool, past) == {"demo's anna": 3}
