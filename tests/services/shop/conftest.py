"""Fixtures: the whole API of the shop, on a real database."""

from collections.abc import AsyncIterator

import pytest

from libs.testing.services import database_fixtures
from tests.services.shop.gateway import Gateway, open_gateway
from tests.services.shop.kit import ShopKit, open_shop

database, pool, reading_pool = database_fixtures("shop")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """The gateway's internal route: shop 7 has one florist, Anna."""
    async with open_gateway() as opened:
        yield opened


@pytest.fixture
async def shop(database: str, gateway: Gateway) -> AsyncIterator[ShopKit]:
    """The API of the shop; its usual caller is an admin of shop 7."""
    async with open_shop(database, jwks_url=gateway.jwks_url) as kit:
        yield kit
