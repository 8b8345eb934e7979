"""A service with a log and two read models, on a real database."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.libs.projections.shop import Shop, open_shop


@pytest.fixture
def shards() -> int:
    """How many shards the service's runner has."""
    return 1


@pytest.fixture
async def shop(database: str, shards: int) -> AsyncIterator[Shop]:
    """The service; its pools are closed at the end."""
    async with open_shop(database, shards) as opened_pool:
        yield opened_pool


@pytest.fixture
def pool(shop: Shop) -> asyncpg.Pool:
    """The service's database."""
    return shop.pool
