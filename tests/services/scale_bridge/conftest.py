"""A database, also as projections and queries see it, and a guarded driver."""

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.postgres.pool import Pool
from libs.testing.databases import migrated
from libs.testing.pools import system_pool, tenant_pool
from services.scale_bridge.driver.adapters.driver import Driver, open_driver


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The address of a migrated database of one's own."""
    with migrated(postgres_url, "scale_bridge") as url:
        yield url


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """As it comes. Afterwards no thread of it may be at work."""
    async with open_driver(connections=8) as opened:
        yield opened
    assert opened.busy == 0


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The database as projections see it: all tenants."""
    async with system_pool(database, "scale_bridge") as opened:
        yield opened


@pytest.fixture
async def reading_pool(database: str) -> AsyncIterator[Pool]:
    """The same database as queries see it: one tenant at a time."""
    async with tenant_pool(database, "scale_bridge") as opened:
        yield opened
