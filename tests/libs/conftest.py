"""Fixtures for tests of several libraries."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import KafkaServer, start_kafka
from libs.postgres.pool import Pool
from libs.testing.pools import system_pool
from tests.libs.guests import migrate_inn


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that a test may suspend or stop, but must start again afterwards.

    Each worker that runs such a test starts a broker of its own.
    """
    with start_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
async def vault_database(empty_database: str, tmp_path: Path) -> str:
    """The address of a database in which the service `inn` has a vault and a table of guests."""
    await asyncio.to_thread(migrate_inn, empty_database, tmp_path, whole=False)
    return empty_database


@pytest.fixture
async def vault_pool(vault_database: str) -> AsyncIterator[Pool]:
    """Connections of the service `inn` that see all tenants."""
    async with system_pool(vault_database, "inn", size=8) as pool:
        yield pool
