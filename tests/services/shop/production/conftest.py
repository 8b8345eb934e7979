"""Fixtures: the board of shop 7, and its second florist."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Final

import pytest

from tests.services.shop.gateway import ANNA, ROSES, Gateway
from tests.services.shop.kit import ShopKit
from tests.services.shop.production.board import Board

BELLA: Final = {**ANNA, "account_id": "bella", "number": 4, "name": "Белла"}
OWNER: Final = {**ANNA, "account_id": "owner", "number": 5, "name": "Олег", "role": "admin"}


@pytest.fixture
async def board(shop: ShopKit, gateway: Gateway) -> AsyncIterator[Board]:
    """Anna and Bella are florists, Oleg is the owner."""
    gateway.answers["shop-7"] = {**deepcopy(ROSES), "staff": [ANNA, BELLA, OWNER]}
    async with shop.staff() as client:
        yield Board(client, shop)
