"""A gateway on a database of its own for each module, and who comes to it."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from tests.services.gateway.adapters.bot_api import BotApi
from tests.services.gateway.api import shop_door
from tests.services.gateway.api.device import KIOSK, Device, LetIn, answered, asking
from tests.services.gateway.api.doorstep import Doorstep, doorstep
from tests.services.gateway.api.inside import MANAGER, WEIGHER, House, demo_on, house_on
from tests.services.gateway.conftest import Keys, Service


@pytest.fixture
async def house(url: str) -> AsyncIterator[House]:
    """A gateway whose people have a tenant of their own."""
    async with house_on(url) as opened:
        yield opened


@pytest.fixture
async def demo(url: str) -> AsyncIterator[House]:
    """A gateway whose people are of the tenant `demo`."""
    async with demo_on(url, key_fresh_seconds=0, stale_wait_seconds=0) as opened:
        yield opened


@pytest.fixture
async def browser(demo: House) -> AsyncIterator[AsyncClient]:
    """A client at another address."""
    async with demo.another_client() as opened:
        yield opened


@pytest.fixture
async def kiosk(demo: House) -> AsyncIterator[Device]:
    """A kiosk that waits."""
    async with demo.another_client({"User-Agent": "Till/1 (Linux)"}) as client:
        yield await asking(client, device_name="Hall <b>1</b>")


@pytest.fixture
async def manager(demo: House) -> str:
    """The address of somebody who manages kiosks and scales."""
    return await demo.email_of(MANAGER, WEIGHER)


@pytest.fixture
def let_in(demo: House, browser: AsyncClient, manager: str) -> LetIn:
    """Makes devices that the manager lets in; they have not asked since."""

    async def allowed(client_id: str = KIOSK, **more: str) -> Device:
        device = await asking(demo.client, client_id, **more)
        await answered(browser, device.user_code, manager)
        return device

    return allowed


@pytest.fixture
async def step(service: Service, keys: Keys) -> AsyncIterator[Doorstep]:
    """In front of doors that take access tokens."""
    async with doorstep(service, keys) as made:
        yield made


@pytest.fixture
async def door(url: str, bot_api: BotApi) -> AsyncIterator[shop_door.Door]:
    """A gateway with a bot, for the shop's clients."""
    async with shop_door.opened(url, bot_api) as made:
        yield made
