"""The bakery on a database of its own."""

from collections.abc import AsyncIterator

import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import Pool
from libs.testing.pools import tenant_pool
from tests.libs.jobs.bakery import MIGRATIONS, Bakery, open_bakery


@pytest.fixture
def database(empty_database: str) -> str:
    """The address of the bakery's database."""
    migrate("bakery", empty_database, migrations=MIGRATIONS)
    return empty_database


@pytest.fixture
async def bakery(database: str) -> AsyncIterator[Bakery]:
    async with open_bakery(database) as opened:
        yield opened


@pytest.fixture
async def tenants(database: str) -> AsyncIterator[Pool]:
    """Connections that see one tenant at a time."""
    async with tenant_pool(database, "bakery") as opened:
        yield opened
