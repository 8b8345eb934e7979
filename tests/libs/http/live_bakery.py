"""A bakery that tells its counters of every loaf: a service with sockets, on real servers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import aiohttp
from fastapi import APIRouter, Depends, WebSocket
from prometheus_client import CollectorRegistry, Gauge

from contracts.envelope import Envelope
from libs.errors import Refused
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import ANY, Metadata
from libs.http.auth import Principal, require
from libs.http.live_messages import (
    Group,
    LiveMessage,
    NewMessage,
    live_messages,
)
from libs.http.sockets import Sockets, SocketSettings, refuse
from libs.postgres.doorbell import APPENDED, PROJECTED
from libs.process.context import ApiSettings
from libs.process.lifecycle import serve
from libs.process.service import Service
from libs.projections.runner import ProjectionRunner
from libs.testing.callers import bearer
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.services import ServiceKit, open_kit
from tests.libs.process.toy.bootstrap import SERVICE as TOY

TENANT: Final = "demo"
SESSION: Final = "0198c5a0-0000-7000-8000-000000000001"
CALLER: Final = UUID(int=7)


class Settings(SocketSettings, ApiSettings):
    """Those of the bakery."""


class OvenBroken(Refused):
    """The oven is broken."""


@dataclass(frozen=True, kw_only=True)
class LoafBaked:
    """A loaf of some kind came out of the oven."""

    number: int
    filling: str = ""


def announce(envelope: Envelope[LoafBaked]) -> Sequence[NewMessage]:
    """Loaves with even numbers are announced as rolls too."""
    data = {"number": envelope.event.number, "filling": envelope.event.filling}
    kinds = ["loaf_baked", "roll_baked"] if envelope.event.number % 2 == 0 else ["loaf_baked"]
    return [NewMessage("loaves", kind, data) for kind in kinds]


async def with_price(tenant: str, messages: Sequence[LiveMessage]) -> Sequence[LiveMessage]:
    """Adds what was not stored."""
    return [
        LiveMessage(one.id, one.type, {**one.data, "price": f"{tenant} 1"}, one.at)
        for one in messages
    ]


router = APIRouter()


@router.websocket("/loaves/{tenant}/live")
async def loaves(
    socket: WebSocket, tenant: str, caller: Annotated[Principal, Depends(require("bread:read"))]
) -> None:
    """The loaves of a tenant."""

    async def bake(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if message.get("hot"):
            raise OvenBroken
        return {"type": "baking", "by": caller.subject}

    if tenant != caller.tenant:
        await refuse(socket)
        return
    sockets: Sockets = socket.app.state.sockets
    group = Group("loaves", tenant, with_price)
    await sockets.serve(socket, group, caller, hello={"shop_id": tenant}, handlers={"bake": bake})


SERVICE: Final = Service(
    name="bakery",
    settings=Settings,
    events=(LoafBaked,),
    projections=lambda _: [
        live_messages(announce, codec=codec_of((LoafBaked,)), topics=("bakery.loaf",))
    ],
    routers=(router,),
    streams=Gauge("bakery_streams", "Streams", registry=CollectorRegistry()),
    package=TOY.package,
)


@dataclass
class Counter:
    """A client of a socket."""

    socket: aiohttp.ClientWebSocketResponse

    async def next(self) -> Any:
        """The next message, or the code with which the socket was closed."""
        message = await self.socket.receive(PATIENCE_SECONDS)
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        return self.socket.close_code or message.type

    async def loaves(self, *numbers: int) -> list[str]:
        """Take exactly the messages of these loaves; their ids."""
        ids = []
        for number in numbers:
            for _ in range(1 + (number % 2 == 0)):
                message = await self.next()
                assert message["data"]["number"] == number, message
                ids.append(message["event_id"])
        return ids

    async def send(self, message: Any) -> None:
        """Send JSON, or a text as it is."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))


@dataclass(kw_only=True)
class Bakery(ServiceKit):
    """One API process of the bakery, on a server of its own."""

    SCOPES: ClassVar[Sequence[str]] = ("bread:read",)

    url: str = ""
    baked: int = 0
    by_worker: bool = False

    async def bake(self, count: int = 1, *, tenant: str = TENANT, filling: str = "") -> list[int]:
        """The numbers of new loaves, which are visible unless there is a worker."""
        numbers = [*range(self.baked + 1, self.baked + count + 1)]
        self.baked += count
        for number in numbers:
            await self.deps.store.append(
                f"loaf-{number % 7}",
                [LoafBaked(number=number, filling=filling)],
                expected=ANY,
                metadata=Metadata(tenant=tenant, actor="baker"),
            )
        if not self.by_worker:
            await self.caught_up()
        return numbers

    @asynccontextmanager
    async def counter(
        self, query: str = "", *, tenant: str = TENANT, of: str = TENANT, **options: Any
    ) -> AsyncIterator[Counter]:
        """A client of the tenant `of`, with a token of `tenant`."""
        scopes = options.pop("scopes", self.SCOPES)
        token = bearer("bakery", subject=str(CALLER), tenant=tenant, scopes=scopes, session=SESSION)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"{self.url}/loaves/{of}/live{query}",
                headers=options.pop("headers", token),
                **options,
            ) as socket,
        ):
            yield Counter(socket)

    @asynccontextmanager
    async def listening(
        self, last_event_id: str = "", **options: Any
    ) -> AsyncIterator[tuple[Counter, Any]]:
        """A client that was greeted, and the greeting."""
        query = f"?last_event_id={last_event_id}" if last_event_id else ""
        async with self.counter(query, **options) as counter:
            yield counter, await counter.next()


@asynccontextmanager
async def _worker(kit: Bakery) -> AsyncIterator[None]:
    """The runner of a worker."""
    doorbell, models = kit.deps.doorbell, SERVICE.projections(kit.settings)
    ring = partial(doorbell.ring, PROJECTED)
    runner = ProjectionRunner(
        kit.deps.system, models, service=SERVICE.name, on_applied=[lambda *_: ring()]
    )
    remove, stop = doorbell.add_listener(runner.wake, APPENDED), asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        remove()
        stop.set()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


@asynccontextmanager
async def open_bakery(
    database: str, *, beside: Bakery | None = None, by_worker: bool = False, **settings: Any
) -> AsyncIterator[Bakery]:
    """An API process; `beside` is another one, which projects. With `by_worker` a worker does."""
    given = {
        # A name of its own, so that the process has a connection of its own to the doorbell.
        "database_url": f"{database}?application_name=beside" if beside else database,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "jwks_url": "http://127.0.0.1:1/",
        "profile": "demo",
    }
    chosen = Settings.model_validate(given | settings)
    projector = beside.projector if beside else None
    async with (
        open_kit(Bakery, SERVICE, chosen, projector=projector, by_worker=by_worker) as kit,
        _worker(kit) if by_worker else nullcontext(),
    ):
        kit.by_worker = by_worker
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(kit.app, "127.0.0.1", 0, stop=stop, on_listening=port.set_result)
        )
        kit.url = f"http://127.0.0.1:{await asyncio.wait_for(port, PATIENCE_SECONDS)}"
        try:
            yield kit
        finally:
            stop.set()
            await asyncio.wait_for(serving, PATIENCE_SECONDS)
