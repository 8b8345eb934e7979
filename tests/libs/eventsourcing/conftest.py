"""Logs to try: in memory and in Postgres, under the rights the services have."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.eventsourcing.log import Log
from libs.eventsourcing.postgres import PostgresLog
from libs.testing.tables import LOG_TABLES
from tests.libs.eventsourcing.memory_log import MemoryLog


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """A database with an empty log in it."""
    async with asyncpg.create_pool(database, min_size=0, max_size=8) as opened_pool:
        for statement in LOG_TABLES:
            await opened_pool.execute(statement)
        yield opened_pool


@pytest.fixture(params=["memory", "postgres"])
def log(request: pytest.FixtureRequest) -> Log:
    """One log after the other."""
    if request.param == "memory":
        return MemoryLog()
    return PostgresLog(request.getfixturevalue("pool"))
