"""Databases, accounts, a service behind the gateway and clients in front, all on loopback."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from libs.testing.databases import migrated
from libs.testing.pools import system_pool
from libs.testing.servers import http_server
from libs.testing.services import database_fixtures
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.telegram.adapters import Bot, open_bot
from tests.services.gateway import shop_door
from tests.services.gateway.app import Keys, Opener, Service, open_app
from tests.services.gateway.bot_api import CHAT, TOKEN, BotApi, open_bot_api
from tests.services.gateway.device import KIOSK, Device, LetIn, answered, request_codes
from tests.services.gateway.doorstep import Doorstep, doorstep
from tests.services.gateway.harness import MANAGER, WEIGHER, Harness, demo_on, harness_on
from tests.services.gateway.identities import People, open_identity

database, own_pool, _ = database_fixtures("gateway")


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """The URL of a migrated database for a whole module."""
    with migrated(postgres_url, "gateway") as address:
        yield address


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    """Connections to the module's database that see every tenant."""
    async with system_pool(url, "gateway", size=10) as context:
        yield context


@pytest.fixture
def clock() -> Clock:
    """The clock of `identity` and of code desks."""
    return Clock()


@pytest.fixture
async def identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """What handlers of accounts and sessions work with, on a database of one's own."""
    async with open_identity(database, clock) as context:
        yield context


@pytest.fixture
def people(identity: Identity) -> People:
    """Accounts on that database."""
    return People(identity)


@pytest.fixture
async def bot_api() -> AsyncIterator[BotApi]:
    """A Bot API on loopback where `CHAT` has started the bot."""
    async with open_bot_api() as context:
        context.chats.add(CHAT)
        yield context


@pytest.fixture
async def bot(bot_api: BotApi) -> AsyncIterator[Bot]:
    async with open_bot(bot_api.url, TOKEN) as context:
        yield context


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with http_server(made) as made.url:
        yield made


@pytest.fixture
def keys() -> Keys:
    """Anna's key may do everything in one tenant, the reader's may read in another."""
    return Keys()


@pytest.fixture
def open_gateway(service: Service, keys: Keys) -> Opener:
    """Opens a client of a gateway in front of the service; takes settings that differ."""

    @asynccontextmanager
    async def open_client(**different: Any) -> AsyncIterator[AsyncClient]:
        async with open_app(service, keys, **different) as app:
            transport = ASGITransport(app, client=("127.0.0.1", 5555))
            async with AsyncClient(transport=transport, base_url="http://gateway") as client:
                yield client

    return open_client


@pytest.fixture
async def gateway(open_gateway: Opener) -> AsyncIterator[AsyncClient]:
    """A client of a gateway with ordinary settings."""
    async with open_gateway() as client:
        yield client


@pytest.fixture
async def harness(url: str) -> AsyncIterator[Harness]:
    """A gateway whose people have a tenant of their own."""
    async with harness_on(url) as context:
        yield context


@pytest.fixture
async def demo(url: str) -> AsyncIterator[Harness]:
    """A gateway whose people are of the tenant `demo`."""
    async with demo_on(url, key_fresh_seconds=0, stale_wait_seconds=0) as context:
        yield context


@pytest.fixture
async def browser(demo: Harness) -> AsyncIterator[AsyncClient]:
    """A client at another address."""
    async with demo.another_client() as context:
        yield context


@pytest.fixture
async def kiosk(demo: Harness) -> AsyncIterator[Device]:
    """A kiosk that waits."""
    async with demo.another_client({"User-Agent": "Till/1 (Linux)"}) as client:
        yield await request_codes(client, device_name="Hall <b>1</b>")


@pytest.fixture
async def approver(demo: Harness) -> str:
    """The e-mail address of an account that manages kiosks and scales."""
    return await demo.email_of(MANAGER, WEIGHER)


@pytest.fixture
def let_in(demo: Harness, browser: AsyncClient, approver: str) -> LetIn:
    """Creates approved devices that have not polled since."""

    async def allowed(client_id: str = KIOSK, **more: str) -> Device:
        device = await request_codes(demo.client, client_id, **more)
        await answered(browser, device.user_code, approver)
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
    async with shop_door.open_door(url, bot_api) as made:
        yield made
