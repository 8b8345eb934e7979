"""Fixtures: a log in memory or in Postgres, read models in Postgres, and the whole API."""

from collections.abc import AsyncIterator

import pytest

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from libs.testing.services import database_fixtures
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.services.ingest.history import NOON, PROJECTIONS, Store
from tests.services.ingest.service import ReadModels, Service, open_service

database, pool, reading_pool = database_fixtures("ingest")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(MemoryLog(clock=clock), Codec[IngestEvent](EVENTS), clock=clock)


@pytest.fixture
async def stores(pool: Pool) -> AsyncIterator[list[Store]]:
    """Two processes on one real log, in the database of the read models."""
    logs = [PostgresLog(pool) for _ in range(2)]
    yield [Store(log, Codec[IngestEvent](EVENTS)) for log in logs]
    for log in logs:
        await log.close()


@pytest.fixture
async def ingest(
    store: Store, pool: Pool, reading_pool: Pool, clock: Clock
) -> AsyncIterator[Service]:
    """The whole API, on a log in memory and read models in Postgres."""
    read_models = ReadModels(store, pool, "ingest", PROJECTIONS)
    async with open_service(store, pool, reading_pool, clock, read_models) as service:
        yield service
