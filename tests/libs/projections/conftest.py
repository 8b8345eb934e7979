"""A service with a log and two read models, on a real database."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.libs.projections.shop import Shop, open_shop


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Shop]:
    """The service; its pools are closed at the end."""
    async with open_shop(database) as made:
        yield made


@pytest.fixture
def pool(shop: Shop) -> asyncpg.Pool:
    """The service's database."""
    return shop.pool
