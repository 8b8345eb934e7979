"""A database and a guarded driver for every test that asks."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.scale_bridge.adapters.driver import Driver, open_driver
from tests.databases import migrated


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The address of a migrated database of one's own."""
    with migrated(postgres_url, "scale_bridge") as url:
        yield url


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """As it comes. Afterwards no thread of it may be at work."""
    async with open_driver(lines=8) as opened:
        yield opened
    assert opened.busy == 0
