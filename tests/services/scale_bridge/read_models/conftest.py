"""Read models in a real database, as projections see it and as queries do."""

from collections.abc import AsyncIterator

import pytest

from libs.postgres.pool import Pool
from libs.testing.pools import system_pool, tenant_pool


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
