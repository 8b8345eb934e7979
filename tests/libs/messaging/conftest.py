"""The laboratory on real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.kafka import KafkaServer
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging.topics import TopicSpec, ensure_topics
from tests.libs.messaging.lab import WRITER_CODEC, Lab, Ledger
from tests.libs.messaging.setup import open_database


@pytest.fixture
def prefix() -> str:
    """A unique prefix of topics."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """An event loop shared by the examples of property tests."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A database with log, messaging tables and the ledger."""
    async with open_database(database) as made:
        yield made


@pytest.fixture
async def lab(pool: asyncpg.Pool, kafka_bootstrap: str, prefix: str) -> Lab:
    """The laboratory with its topic of three partitions."""
    return await _open_lab(pool, kafka_bootstrap, prefix)


@pytest.fixture
async def breakable_lab(pool: asyncpg.Pool, own_kafka: KafkaServer, prefix: str) -> Lab:
    return await _open_lab(pool, own_kafka.bootstrap, prefix)


async def _open_lab(pool: asyncpg.Pool, bootstrap: str, prefix: str) -> Lab:
    specs = [TopicSpec(category="lab.order", partitions=3, retention_days=1)]
    await ensure_topics(bootstrap, prefix, specs)
    store = EventStore(PostgresLog(pool), WRITER_CODEC)
    return Lab(pool=pool, bootstrap=bootstrap, prefix=prefix, store=store, ledger=Ledger())
