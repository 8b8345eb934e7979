"""Databases of the service, and a guarded driver."""

from collections.abc import AsyncIterator

import pytest

from libs.testing.services import database_fixtures
from services.scale_bridge.driver.adapters.driver import Driver, open_driver

database, pool, reading_pool = database_fixtures("scale_bridge")


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """As it comes. Afterwards no thread of it may be at work."""
    async with open_driver(connections=8) as opened:
        yield opened
    assert opened.busy == 0
