"""A gateway without a database, and a service behind it on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import web
from httpx import AsyncClient

from contracts.gateway import EVENTS, GatewayEvent
from libs.errors import Unavailable
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.store import EventStore
from libs.postgres.doorbell import Doorbell
from libs.process.context import QueryContext
from libs.process.service import open_service_context
from libs.projections.consistency import Consistency
from libs.security.api_keys import hash_key
from libs.security.sealing import generate_key
from libs.security.tokens import SigningKey
from libs.telemetry import traces
from libs.telemetry.traces import Telemetry
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bootstrap import SERVICE, create_app, open_deps
from services.gateway.context import Deps
from services.gateway.doors.domain.caller import Caller
from services.gateway.doors.domain.door import Door
from services.gateway.settings import Settings
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.services.gateway.identities import SEAL_KEY

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


@dataclass
class Service:
    """A real HTTP server that records its requests. Replace `answer` for other answers."""

    url: str = ""
    requests: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if self.answer is not None:
            return await self.answer(request)
        self.bodies.append(await request.read())
        return web.json_response({"ok": True}, headers={"X-Consistency-Token": "7"})


Opener = Callable[..., AbstractAsyncContextManager[AsyncClient]]


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
async def open_context(settings: Settings) -> AsyncIterator[Deps]:
    """What routes and commands of a gateway with these settings work with."""
    telemetry = traces.set_up(SERVICE.name)
    try:
        async with open_service_context(SERVICE, settings, telemetry) as deps:
            yield deps
    finally:
        await telemetry.stop()


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
    dsn = settings.database_url.get_secret_value()
    async with asyncpg.create_pool(dsn, min_size=0) as nowhere, AsyncExitStack() as stack:
        store: EventStore[GatewayEvent] = EventStore(MemoryLog(), Codec(EVENTS))
        frame: QueryContext[Settings, GatewayEvent] = QueryContext(
            settings=settings,
            store=store,
            system=nowhere,
            reading=nowhere,
            doorbell=Doorbell(dsn, "gateway"),
            consistency=Consistency(nowhere, ()),
            telemetry=telemetry or traces.set_up("gateway"),
        )
        deps = await stack.enter_async_context(open_deps(frame, "gateway"))
        known = KnownKeys(keys.look_up, fresh=settings.key_fresh_seconds)
        yield create_app(replace(deps, keys=known, doors=doors or deps.doors))
