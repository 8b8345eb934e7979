"""The service on a real database: its API, its worker, and devices with simulated scales."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from httpx import AsyncClient, Response

from contracts.scale_bridge import OperationEnded, OperationQueued
from libs.process.service import job_tasks
from libs.security.sealing import generate_key
from libs.testing.polling import eventually
from libs.testing.services import ServiceKit, open_kit
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.operations.handlers.worker import OperationWorker, open_worker
from services.scale_bridge.settings import Settings
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale

SEAL_KEY: Final = generate_key()
ANNA, BORIS = uuid4(), uuid4()
ENVIRONMENT: Final = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "SCALE_BRIDGE_JWKS_URL": "http://127.0.0.1:1/jwks",
    "SCALE_BRIDGE_SEAL_KEYS": SEAL_KEY,
    "SCALE_BRIDGE_ALLOW_LOOPBACK": "true",
    "SCALE_BRIDGE_POLL_SECONDS": "0.02",
    "SCALE_BRIDGE_CONNECTION_SECONDS": "0",
    "SCALE_BRIDGE_CONNECT_SECONDS": "5",
    "SCALE_BRIDGE_REPLY_SECONDS": "5",
}
HEALING: Final[dict[str, Any]] = {
    "heal_first_seconds": 0.1,
    "heal_longest_seconds": 0.5,
    "idle_minutes": 0.0,
    "round_seconds": 0.05,
    "breaker_seconds": 0.3,
}
"""Settings of a worker that looks for scales to heal again and again."""


def scale_settings(url: str, **different: Any) -> Settings:
    """Settings that permit scales on this machine."""
    given = ENVIRONMENT | {"DATABASE_URL": url}
    return Settings.from_env("SCALE_BRIDGE", given).model_copy(update=different)


class Service(ServiceKit):
    """The service in this process, and clients of its API, Anna's by default."""

    SUBJECT = ANNA
    SCOPES = ("scales:read", "scales:write")

    async def ends(self) -> list[OperationEnded]:
        return await self.events(OperationEnded)

    async def all_ended(self) -> bool:
        return len(await self.ends()) == len(await self.events(OperationQueued))

    async def assert_one_end_each(self) -> None:
        queued = [event.operation_id for event in await self.events(OperationQueued)]
        assert sorted(queued) == sorted([event.operation_id for event in await self.ends()])


def open_service(
    url: str, *, by_worker: bool = False, beside: Service | None = None, **different: Any
) -> AbstractAsyncContextManager[Service]:
    """The API without a worker; read models are projected `by_worker`, or here, or by `beside`."""
    projector = beside.projector if beside else None
    settings = scale_settings(url, **different)
    return open_kit(Service, SERVICE, settings, by_worker=by_worker, projector=projector)


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[OperationWorker]:
    """A running operation worker; it is stopped at the end after a short drain."""
    async with SERVICE.open_context(settings, size=4) as context, open_worker(context) as executor:
        executor.drain_seconds = 0.1
        stop = asyncio.Event()
        working = asyncio.create_task(executor.run(stop))
        try:
            yield executor
        finally:
            stop.set()
            await working


@asynccontextmanager
async def open_working(
    url: str, *, heals: bool = False, **different: Any
) -> AsyncIterator[Service]:
    """The API and an operation worker; with `heals` also the periodic tasks, often."""
    different = HEALING | different if heals else different
    async with open_service(url, **different) as service, running_worker(service.settings):
        if not heals:
            yield service
            return
        stop = asyncio.Event()
        tasks = job_tasks(SERVICE, service.deps)
        running = [asyncio.ensure_future(task(stop)) for task in tasks]
        try:
            async with catching_up(service):
                yield service
        finally:
            stop.set()
            await asyncio.gather(*running)


@asynccontextmanager
async def catching_up(service: Service) -> AsyncIterator[None]:
    """Read models are projected in the background, as in a worker."""

    async def follow() -> None:
        while True:
            await service.caught_up()
            await asyncio.sleep(0.02)

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class Device:
    """A registered device: its scale, its owner's client, its number."""

    service: Service
    owner: AsyncClient
    scale: Simulator
    number: int

    @property
    def path(self) -> str:
        """The path of the device; what is below it is given to the methods."""
        return f"/devices/{self.number}"

    async def get(self, rest: str = "", **params: Any) -> Response:
        return await self.owner.get(f"{self.path}{rest}", params=params or None)

    async def read(self, rest: str = "", **params: Any) -> Any:
        """The JSON of a path below the device; it must be 200."""
        answer = await self.get(rest, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def put(self, rest: str = "", **body: Any) -> Response:
        return await self.owner.put(f"{self.path}{rest}", json=body)

    async def post(self, rest: str, **body: Any) -> Response:
        return await self.owner.post(f"{self.path}{rest}", json=body or None)

    async def delete(self, rest: str = "") -> Response:
        return await self.owner.delete(f"{self.path}{rest}")

    async def patch(self, plu: int | str, **fields: Any) -> Response:
        return await patch(self.owner, self.number, plu, **fields)

    async def set_price(self, plu: int, price: float) -> None:
        answer = await self.patch(plu, price=price)
        assert answer.status_code == 200, answer.text

    async def fetch(self) -> dict[str, Any]:
        """The catalogue, read from the scale just now."""
        document: dict[str, Any] = (await self.read("/products"))["products"]
        return document

    async def cached(self) -> dict[str, Any]:
        """The catalogue as it is stored."""
        document: dict[str, Any] = (await self.read("/products/cached"))["products"]
        return document

    async def upload(self) -> None:
        answer = await self.post("/upload")
        assert answer.status_code == 200, answer.text

    @property
    def sent_bytes(self) -> int:
        """How many bytes of catalogues the scale was sent."""
        frames = self.scale.transcript.frames
        return sum(one.size for one in frames if (one.direction, one.step) == ("in", Step.SEND))

    async def is_dirty(self) -> bool:
        """The dirty flag of the device; lists may be a moment behind."""
        flag: bool = (await self.read())["cached_dirty"]
        return flag

    async def is_listed_dirty(self) -> bool:
        """The dirty flag, in which the device and the list must agree."""
        one = await self.read()
        assert one in (await self.owner.get("/devices")).json()
        flag: bool = one["cached_dirty"]
        return flag

    async def order(self, kind: str, **more: Any) -> Response:
        ordered = await self.post("/operations", kind=kind, **more)
        assert ordered.status_code == 202, ordered.text
        return ordered

    async def ended(self, ordered: Response) -> Any:
        return await ended(self.owner, ordered)

    async def shows(self, price: float, plu: int = 2) -> None:
        """Wait until the scale shows a price."""
        await eventually(lambda: self.scale.base.products[plu - 1]["price"], price)


async def patch(client: AsyncClient, number: int, plu: int | str, **fields: Any) -> Response:
    return await client.patch(f"/devices/{number}/products/{plu}", json={"fields": fields})


async def ended(client: AsyncClient, ordered: Response) -> Any:

    async def job() -> Any:
        answer = (await client.get(ordered.headers["Location"])).json()
        return answer if answer["status"] == "ended" else None

    return await eventually(job)


async def register(client: AsyncClient, name: str = "", **different: Any) -> int:
    """Register a device; nothing listens at its address. Its number."""
    body = {"name": name or f"scale {uuid4()}", "ip": "127.0.0.1", "port": 9, "password": PASSWORD}
    answer = await client.post("/devices", json=body | different)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def a_device(
    service: Service, client: AsyncClient, scale: Simulator, *, read: bool = True, **different: Any
) -> Device:
    """A device with a scale; its catalogue is fetched by default."""
    number = await register(client, **{"ip": scale.host, "port": scale.port, **different})
    device = Device(service=service, owner=client, scale=scale, number=number)
    if read:
        await device.fetch()
    return device


@asynccontextmanager
async def open_devices(
    database: str, *items: int, read: bool = True, heals: bool = False, **settings: Any
) -> AsyncIterator[list[Device]]:
    """Devices of one owner with so many products each, and the service at work."""
    async with AsyncExitStack() as stack:
        scales = [await stack.enter_async_context(a_scale(number)) for number in items]
        service = await stack.enter_async_context(open_working(database, heals=heals, **settings))
        owner = await stack.enter_async_context(service.client())
        yield [await a_device(service, owner, scale, read=read) for scale in scales]


@asynccontextmanager
async def open_device(
    database: str,
    items: int = 3,
    *faults: str,
    base: ProductBase | None = None,
    read: bool = True,
    heals: bool = False,
    **settings: Any,
) -> AsyncIterator[Device]:
    """A device, and the service at work."""
    async with (
        a_scale(items, *faults, base=base) as scale,
        open_working(database, heals=heals, **settings) as service,
        service.client() as owner,
    ):
        yield await a_device(service, owner, scale, read=read)
