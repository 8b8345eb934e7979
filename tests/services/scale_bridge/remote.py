"""The service as agents reach it, agents, and the connection between them."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import aiohttp

from contracts.scale_bridge import (
    EVENTS,
    DeviceId,
    OperationEnded,
    OperationId,
    OperationSending,
    ScaleBridgeEvent,
)
from deploy.local.ports import free_port
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.http.app import create_app
from libs.http.shapes import DETAIL
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import Pool
from libs.security.sealed_box import generate_private
from libs.testing.callers import bearer, verifier
from libs.testing.polling import eventually
from libs.testing.pools import system_pool
from services.scale_bridge.bootstrap import HOOKS, SERVICE
from services.scale_bridge.bridges import api as bridge_api
from services.scale_bridge.bridges.adapters.identity import FILE, Identity, home_of, write_identity
from services.scale_bridge.bridges.cli import AgentOptions, open_runner
from services.scale_bridge.bridges.handlers.gateway_client import (
    LONGEST_PAUSE_SECONDS,
    GatewayClient,
    run,
)
from services.scale_bridge.bridges.handlers.runner import Runner
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.catalogue.domain.catalogue import Edit
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.address import Policy
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.operations.handlers import expiry, operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores.work import Job, WorkQueue
from tests.chaos.proxy import Proxy
from tests.services.gateway.test_bootstrap import served
from tests.services.scale_bridge.service import scale_settings

TENANT: Final = "flora"
OWNER: Final = uuid4()
BRIDGE: Final = UUID("018f0000-0000-7000-8000-00000000b41d")
PASSWORD: Final = "q~Z#"
"""Of the scales, and nothing else: where it turns up is a leak."""
LOOPBACK: Final = Policy(special=True)


class Door:
    """The gateway of an agent: refresh tokens, each valid once, and the proxy to the service."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.refreshed: list[str] = []
        self.state = app.state
        self._sockets = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return await self._pass(scope, receive, send)
        self._sockets += 1
        try:
            return await self._pass(scope, receive, send)
        finally:
            self._sockets -= 1

    async def all_left(self) -> None:
        """Wait until every WebSocket has ended: a server that stops does not wait for them."""
        await eventually(lambda: self._sockets, 0)

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path.startswith("/scales/"):
            inner = path.removeprefix("/scales")
            await self.app({**scope, "path": inner, "raw_path": inner.encode()}, receive, send)
        elif path == "/oauth/token":
            await self._token(receive, send)
        else:
            await self.app(scope, receive, send)

    async def _token(self, receive: Any, send: Any) -> None:
        form = parse_qs((await receive())["body"].decode())
        token = form["refresh_token"][0]
        good = token not in self.refreshed
        self.refreshed.append(token)
        answer = {
            "access_token": credentials()["Authorization"].removeprefix("Bearer "),
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": f"refresh {len(self.refreshed)}",
        }
        body = json.dumps(answer if good else {"error": "invalid_grant"}).encode()
        headers = [(b"content-type", b"application/json")]
        start = {"type": "http.response.start", "status": 200 if good else 400, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})


def credentials(
    scopes: Sequence[str] = ("scales:bridge",), *, tenant: str = TENANT, subject: UUID = BRIDGE
) -> dict[str, str]:
    """The header of an agent by default."""
    return bearer(SERVICE.name, subject=str(subject), tenant=tenant, scopes=scopes, kind="scales")


@dataclass(kw_only=True)
class Remote:
    """The service, and actions on devices that agents drive."""

    context: Context
    home: Path
    tenant: str = TENANT
    bridge: UUID = BRIDGE
    owner: UUID = OWNER
    url: str = ""

    @property
    def metadata(self) -> Metadata:
        """The metadata of changes of devices."""
        return Metadata(tenant=self.tenant, actor="test")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def change_settings(self, **different: Any) -> None:
        """Change settings of the service."""
        settings = self.context.settings.model_copy(update=different)
        self.context = replace(self.context, settings=settings)

    async def register(self, simulator: Simulator) -> DeviceId:
        """Register a simulated scale that the agent drives."""
        given = {
            "name": f"scale {uuid4()}",
            "description": "",
            "ip": simulator.host,
            "port": simulator.port,
            "protocol": "TCP",
            "password": PASSWORD,
            "bridge": self.bridge,
        }
        saved = await device.register(self.context, self.owner, given, self.metadata)
        return saved.loaded.device_id

    async def order(self, device_id: DeviceId, kind: str, **more: Any) -> OperationId:
        operation_id = operation.new_id()
        ordered = OperationRequest(
            tenant=self.tenant,
            device_id=device_id,
            operation_id=operation_id,
            kind=kind,
            asked_by=str(self.owner),
            **more,
        )
        await operation.enqueue(self.context, ordered)
        return operation_id

    async def done(self, device_id: DeviceId, kind: str, **more: Any) -> OperationEnded:
        """Queue an operation, and wait for its end."""
        return await self.end(await self.order(device_id, kind, **more))

    async def end(self, operation_id: OperationId) -> OperationEnded:
        """The end of an operation; there must be only one."""
        [end] = await eventually(lambda: self.ends(operation_id), what="the end of an operation")
        return end

    async def ends(self, operation_id: OperationId) -> Sequence[OperationEnded]:
        events = await self.events(f"operation-{operation_id}")
        return [event for event in events if isinstance(event, OperationEnded)]

    async def events(self, stream: str) -> Sequence[ScaleBridgeEvent]:
        return (await self.context.store.read(self.tenant, stream)).events

    async def read(self, simulator: Simulator) -> DeviceId:
        """Register a scale and fetch its catalogue."""
        device_id = await self.register(simulator)
        assert (await self.done(device_id, "fetch")).outcome == "done"
        return device_id

    async def set_price(self, device_id: DeviceId, plu: int, price: float) -> None:
        command = Edit(
            device_id=device_id,
            plu=str(plu),
            fields={"price": price},
            source="person",
            edited_by="test",
            now=utc_now(),
        )
        await catalogue.change(self.context, device_id, command, self.metadata)

    async def begin_upload(
        self, device_id: DeviceId, scale: Simulator, fault: str, step: Step
    ) -> OperationId:
        """Change the first price, and queue an upload that reaches a step despite the fault.

        The service has the agent's report that it began.
        """
        await self.set_price(device_id, scale.base.products[0]["pluNumber"], 5.5)
        scale.faults.set([fault])
        operation_id = await self.order(device_id, "upload")
        await eventually(lambda: step in scale.transcript.steps())

        async def is_reported() -> bool:
            events = await self.events(f"operation-{operation_id}")
            return OperationSending in [type(event) for event in events]

        await eventually(is_reported)
        return operation_id

    async def copy(self, device_id: DeviceId) -> Any:
        return (await catalogue.load(self.context, self.tenant, device_id)).catalogue

    async def facts(self, stream: str) -> Sequence[dict[str, Any]]:
        query = "SELECT data FROM events WHERE stream = $1 ORDER BY position"
        return [json.loads(row["data"]) for row in await self.context.system.fetch(query, stream)]

    async def sweep(self) -> None:
        """Expire overdue operations, as the service's own worker does."""
        for job in await WorkQueue.of(self.context).claim_overdue(
            "sweeper", self.context.clock(), limit=100
        ):
            found = await operation.load(self.context, job.tenant, job.operation_id)
            await expiry.expire(self.context, job, found)


@asynccontextmanager
async def open_remote(database: str, home: Path, **different: Any) -> AsyncIterator[Remote]:
    """The service on a real server behind a minimal gateway; an agent's directory."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(system_pool(database, SERVICE.name, size=6))
        log = PostgresLog(pool)
        stack.push_async_callback(log.close)
        remote = Remote(context=_context(database, pool, log, **different), home=home)
        app = create_app(
            title=SERVICE.name,
            routers=[bridge_api.router],
            deps=SimpleNamespace(**vars(remote.context), verifier=verifier(SERVICE.name)),
            checks={},
            problem_shape=DETAIL,
        )
        await bridges.set_owner(pool, TENANT, BRIDGE, OWNER)
        door = Door(app)
        stack.push_async_callback(door.all_left)
        remote.url = await stack.enter_async_context(served(door))
        yield remote


def _context(database: str, pool: Pool, log: PostgresLog, **different: Any) -> Context:
    given = {"lease_seconds": 2.0, "timezone": "UTC", "operation_seconds": 30.0} | different
    return Context(
        settings=scale_settings(database, **given),
        store=EventStore(log, Codec[ScaleBridgeEvent](EVENTS)),
        system=pool,
        doorbell=Doorbell(database, SERVICE.name),
        catalogues=CatalogueCache(),
        hooks=HOOKS,
    )


def job(operation_id: OperationId, device_id: DeviceId, tenant: str = TENANT) -> Job:
    """A job without an operation."""
    deadline_at = utc_now() + timedelta(minutes=1)
    return Job(
        tenant=tenant, operation_id=operation_id, device_id=device_id, deadline_at=deadline_at
    )


class Line(Proxy):
    """A connection between an agent and the service that can be cut."""

    def __init__(self, home: Path, target: int) -> None:
        super().__init__(free_port(), target)
        self.home = home

    @property
    def url(self) -> str:
        """The address agents connect to."""
        return f"http://{self.address}"

    def connect_to(self, port: int) -> None:
        """Let connections from now on end at another port."""
        self._target = port


def enrolled(home: Path, gateway: str = "http://127.0.0.1:9") -> Path:
    """The directory of an enrolled agent. Safe to repeat."""
    with home_of(home):
        if not (home / FILE).exists():
            identity = Identity(
                gateway=gateway, private_key=generate_private(), refresh_token="refresh 0"
            )
            write_identity(home, identity)
    return home


def options_of(home: Path) -> AgentOptions:
    return AgentOptions(
        gateway=None,
        state=home,
        name="back room",
        enrol=False,
        policy=LOOPBACK,
        lines=8,
        connection_seconds=0.0,
    )


def gateway_client_of(
    home: Path,
    client: aiohttp.ClientSession,
    *,
    chance: float | None = None,
    longest_pause: float = LONGEST_PAUSE_SECONDS,
) -> GatewayClient:
    return GatewayClient(
        home=home,
        client=client,
        program="test",
        name="back room",
        chance=random.random if chance is None else lambda: chance,
        longest_pause=longest_pause,
    )


@asynccontextmanager
async def open_agent(end: Remote | Line) -> AsyncIterator[Runner]:
    """An enrolled agent in this process; at the end it is killed."""
    home = enrolled(end.home, end.url)
    async with aiohttp.ClientSession() as client, open_runner(options_of(home)) as runner:
        running = asyncio.create_task(
            run(runner, gateway_client_of(home, client, longest_pause=1.0))
        )
        try:
            yield runner
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def is_settled(runner: Runner) -> bool:
    """Whether the service has everything that the agent reported."""
    return not await runner.store.reports()
