"""One installation for all tests of a module."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from libs.testing.databases import migrated
from tests.services.shop.through_gateway.installation import Installation, open_installation


@pytest.fixture(scope="module")
def addresses(postgres_url: str) -> Iterator[tuple[str, str]]:
    """The databases of gateway and shop."""
    with migrated(postgres_url, "gateway") as gateway, migrated(postgres_url, "shop") as shop:
        yield gateway, shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(addresses: tuple[str, str]) -> AsyncIterator[Installation]:
    """Gateway and shop, at work."""
    async with open_installation(*addresses) as opened:
        yield opened
