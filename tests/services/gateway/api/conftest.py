"""A gateway on a database of its own for each module, and who comes to it."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from tests.services.gateway.api.device import Device, asking, of
from tests.services.gateway.api.inside import MANAGER, WEIGHER, client_of, gateway_on


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    """What the gateway holds."""
    async with gateway_on(url) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    """Somebody who asks."""
    async with client_of(deps) as opened:
        yield opened


@pytest.fixture
async def browser(deps: Deps) -> AsyncIterator[AsyncClient]:
    """Somebody else, who looks."""
    async with client_of(deps) as opened:
        yield opened


@pytest.fixture
async def kiosk(deps: Deps) -> AsyncIterator[Device]:
    """A kiosk that waits."""
    async with client_of(deps, headers={"User-Agent": "Till/1 (Linux)"}) as client:
        yield await asking(client, device_name="Hall <b>1</b>")


@pytest.fixture
async def manager(deps: Deps) -> str:
    """The address of somebody who manages kiosks and scales."""
    return await of(deps, MANAGER, WEIGHER)
