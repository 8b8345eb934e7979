"""Databases, accounts, a service behind the gateway and clients in front, all on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from httpx import ASGITransport, AsyncClient

from contracts.gateway import EVENTS, GatewayEvent
from libs.errors import Unavailable
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from libs.security.api_keys import hash_key
from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from libs.telemetry import traces
from libs.telemetry.traces import Telemetry
from libs.testing.clock import Clock
from libs.testing.databases import migrated
from libs.testing.pools import system_pool
from libs.testing.servers import http_server
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bootstrap import create_app, make_deps, open_upstreams
from services.gateway.doors.domain.caller import Caller
from services.gateway.doors.domain.door import Door
from services.gateway.settings import Settings
from services.gateway.telegram.adapters import Bot, open_bot
from tests.services.gateway.adapters.bot_api import CHAT, TOKEN, BotApi, open_bot_api
from tests.services.gateway.identities import SEAL_KEY, People, open_identity


@dataclass
class Service:
    """A real HTTP server that records what it was asked. Replace `answer` to make it do else."""

    url: str = ""
    asked: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        if self.answer is not None:
            return await self.answer(request)
        self.bodies.append(await request.read())
        return web.json_response({"ok": True}, headers={"X-Consistency-Token": "7"})


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """The address of such a database for a whole module."""
    with migrated(postgres_url, "gateway") as address:
        yield address


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The address of a database of one's own with the service's tables."""
    with migrated(postgres_url, "gateway") as address:
        yield address


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    """Connections to the module's database that see every tenant."""
    async with system_pool(url, "gateway", size=10) as opened:
        yield opened


@pytest.fixture
async def own_pool(database: str) -> AsyncIterator[Pool]:
    """The same to a database of one's own."""
    async with system_pool(database, "gateway") as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    """The clock of `identity` and of code desks."""
    return Clock()


@pytest.fixture
async def identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """What handlers of accounts and sessions work with, on a database of one's own."""
    async with open_identity(database, clock) as opened:
        yield opened


@pytest.fixture
def people(identity: Identity) -> People:
    """Accounts on that database."""
    return People(identity)


@pytest.fixture
async def bot_api() -> AsyncIterator[BotApi]:
    """A Bot API on loopback where `CHAT` has started the bot."""
    async with open_bot_api() as opened:
        opened.chats.add(CHAT)
        yield opened


@pytest.fixture
async def bot(bot_api: BotApi) -> AsyncIterator[Bot]:
    async with open_bot(bot_api.url, TOKEN) as opened:
        yield opened


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with http_server(made) as made.url:
        yield made


PAGE = "https://scanner.example"
KEY, READER = "k" * 32, "r" * 32
ANNA = Caller(
    tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:write", "scan:read", "scan:remove"})
)
READING = Caller(tenant="other", subject=UUID(int=2), scopes=frozenset({"scan:read"}))


@dataclass
class Keys:
    """The keys that open doors, and whether the database that knows them is there."""

    callers: dict[str, Caller] = field(
        default_factory=lambda: {hash_key(KEY): ANNA, hash_key(READER): READING}
    )
    away: bool = False

    async def look_up(self, hashed: str) -> Caller | None:
        if self.away:
            raise Unavailable
        return self.callers.get(hashed)


@pytest.fixture
def keys() -> Keys:
    """Anna's key may do everything in one tenant, the reader's may read in another."""
    return Keys()


Opener = Callable[..., AbstractAsyncContextManager[AsyncClient]]


@pytest.fixture
def open_gateway(service: Service, keys: Keys) -> Opener:
    """Opens a client of a gateway in front of the service; takes settings that differ."""

    @asynccontextmanager
    async def opened(**different: Any) -> AsyncIterator[AsyncClient]:
        async with open_app(service, keys, **different) as app:
            transport = ASGITransport(app, client=("127.0.0.1", 5555))
            async with AsyncClient(transport=transport, base_url="http://gateway") as client:
                yield client

    return opened


@pytest.fixture
async def gateway(open_gateway: Opener) -> AsyncIterator[AsyncClient]:
    """A client of a gateway with ordinary settings."""
    async with open_gateway() as client:
        yield client


def gateway_settings(service_url: str, **different: Any) -> Settings:
    """Settings without an environment."""
    given = {
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "ingest_url": service_url,
        "signing_key": SigningKey.generate().to_pem(),
        "seal_keys": SEAL_KEY,
        "refresh_key": generate_key(),
        "cors_origins": (PAGE,),
        "profile": "demo",
        # No test fails because the machine is busy.
        "connect_seconds": 30.0,
    }
    return Settings.model_validate(given | different)


@asynccontextmanager
async def open_app(
    service: Service,
    keys: Keys,
    telemetry: Telemetry | None = None,
    doors: tuple[Door, ...] | None = None,
    **different: Any,
) -> AsyncIterator[Any]:
    """The app, with its keys in memory and a database that is not there."""
    settings = gateway_settings(service.url, **different)
    async with (
        open_upstreams(settings) as upstreams,
        asyncpg.create_pool(settings.database_url.get_secret_value(), min_size=0) as nowhere,
    ):
        store: EventStore[GatewayEvent] = EventStore(MemoryLog(), Codec(EVENTS))
        deps = make_deps(settings, telemetry or traces.set_up("gateway"), nowhere, store, upstreams)
        known = KnownKeys(keys.look_up, fresh=settings.key_fresh_seconds)
        yield create_app(replace(deps, keys=known, doors=doors or deps.doors))
