"""A service with a desk and a door, a daemon beside it, and the line between the two."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from contracts.scale_bridge import EVENTS, DeviceId, OperationEnded, OperationId, ScaleBridgeEvent
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.http.app import create_app
from libs.http.auth import TokenVerifier
from libs.http.problems import detail_shape
from libs.postgres.pool import SYSTEM, Pool, acquired, open_pool
from libs.postgres.rls import application_role
from libs.security.sealing import Seal, generate_key
from libs.security.tokens import SigningKey, issue
from services.scale_bridge.adapters import bridges
from services.scale_bridge.adapters.breakers import Breakers
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.adapters.work import Job, Work
from services.scale_bridge.api import bridge as bridge_api
from services.scale_bridge.domain.address import Policy
from services.scale_bridge.domain.breaker import Rules
from services.scale_bridge.domain.copy_commands import Edit
from services.scale_bridge.handlers import abandoned, catalogue, device, operation
from services.scale_bridge.handlers.desk import Desk
from services.scale_bridge.handlers.device import Given
from services.scale_bridge.handlers.ordering import Ordered
from tests.services.gateway.test_bootstrap import served
from tests.services.scale_bridge.bridge_door import Door

TENANT: Final = "flora"
OWNER: Final = uuid4()
BRIDGE: Final = UUID("018f0000-0000-7000-8000-00000000b41d")
PASSWORD: Final = "q~Z#"
"""Of the scales, and nothing else: where it turns up is a leak."""
ISSUER: Final = "tillstream-gateway"
LOOPBACK: Final = Policy(special=True)


@dataclass(kw_only=True)
class House:
    """The service, with what tests ask of it."""

    desk: Desk
    key: SigningKey
    tenant: str = TENANT
    bridge: UUID = BRIDGE
    owner: UUID = OWNER
    url: str = ""
    refreshed: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def cause(self) -> Cause:
        """On whose behalf things are done here."""
        return Cause(tenant=self.tenant, actor="test")

    async def device(self, simulator: Simulator) -> DeviceId:
        """Register a simulated scale, reached by the bridge."""
        given = Given(
            name=f"scale {uuid4()}",
            ip=simulator.host,
            port=simulator.port,
            password=PASSWORD,
            bridge=self.bridge,
        )
        saved = await device.register(self.desk, self.owner, given, self.cause)
        return saved.found.device_id

    async def order(self, device_id: DeviceId, kind: str, **more: Any) -> OperationId:
        """Have something done."""
        operation_id = operation.new_id()
        ordered = Ordered(
            tenant=self.tenant,
            device_id=device_id,
            operation_id=operation_id,
            kind=kind,
            asked_by=str(self.owner),
            **more,
        )
        await operation.order(self.desk, ordered)
        return operation_id

    async def done(self, device_id: DeviceId, kind: str, **more: Any) -> OperationEnded:
        """Have something done, and wait for the end."""
        return await self.end(await self.order(device_id, kind, **more))

    async def end(self, operation_id: OperationId, seconds: float = 40.0) -> OperationEnded:
        """How it ended; it must have ended once."""
        async with asyncio.timeout(seconds):
            while not (ends := await self.ends(operation_id)):
                await asyncio.sleep(0.02)
        assert len(ends) == 1
        return ends[0]

    async def ends(self, operation_id: OperationId) -> Sequence[OperationEnded]:
        """All final events of an operation."""
        events = await self.events(f"operation-{operation_id}")
        return [event for event in events if isinstance(event, OperationEnded)]

    async def events(self, stream: str) -> Sequence[ScaleBridgeEvent]:
        """All of a stream."""
        return (await self.desk.store.read(self.tenant, stream)).events

    async def read(self, simulator: Simulator) -> DeviceId:
        """Register a scale and have it read once: then it has a catalogue."""
        device_id = await self.device(simulator)
        assert (await self.done(device_id, "fetch")).outcome == "done"
        return device_id

    async def price(self, device_id: DeviceId, plu: int, price: float) -> None:
        """Change a price in the catalogue."""
        command = Edit(
            device_id=device_id,
            plu=str(plu),
            fields={"price": price},
            source="person",
            edited_by="test",
            now=utc_now(),
        )
        await catalogue.change(self.desk, device_id, command, self.cause)

    async def copy(self, device_id: DeviceId) -> Any:
        """The catalogue as it is."""
        return (await catalogue.load(self.desk, self.tenant, device_id)).copy

    async def facts(self, stream: str) -> Sequence[dict[str, Any]]:
        """What the facts of a stream say."""
        asked = "SELECT data FROM events WHERE stream = $1 ORDER BY position"
        async with acquired(self.desk.pool) as connection:
            rows = await connection.fetch(asked, stream)
        return [json.loads(row["data"]) for row in rows]

    async def sweep(self) -> None:
        """What the service's own worker does with what is past its deadline."""
        for job in await self.desk.work.claim_overdue("sweeper", self.desk.clock(), limit=100):
            found = await operation.load(self.desk, job.tenant, job.operation_id)
            await abandoned.leave(self.desk, job, found)

    def bearer(self, scopes: Sequence[str] = ("scales:bridge",), **different: Any) -> str:
        """A pass of the gateway."""
        said: dict[str, Any] = {
            "subject": str(BRIDGE),
            "tenant": TENANT,
            "scopes": scopes,
            "kind": "scales",
            "audience": "scale_bridge",
            "issuer": ISSUER,
            "now": utc_now(),
            "lifetime": timedelta(minutes=5),
        }
        return issue(self.key, **(said | different))


@asynccontextmanager
async def standing(
    database: str, key: SigningKey | None = None, **different: Any
) -> AsyncIterator[House]:
    """The service on a real server, behind a door as small as can be."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            database,
            role=application_role("scale_bridge"),
            schema="scale_bridge",
            size=6,
            application_name="test",
            tenant_scope=SYSTEM,
        )
        stack.push_async_callback(pool.close)
        log = PostgresLog(pool)
        stack.push_async_callback(log.close)
        house = House(desk=a_desk(pool, log, **different), key=key or SigningKey.generate())
        verifier = TokenVerifier(
            audience="scale_bridge", issuer=ISSUER, keys={house.key.kid: house.key.public}
        )
        app = create_app(
            title="scale_bridge",
            routers=[bridge_api.router],
            deps=SimpleNamespace(desk=house.desk, verifier=verifier),
            checks={},
            problem_shape=detail_shape,
        )
        await bridges.enrolled(pool, TENANT, BRIDGE, OWNER)
        door = Door(app, house.bearer, house.refreshed)
        stack.push_async_callback(door.left)
        house.url = await stack.enter_async_context(served(door))
        yield house


def a_desk(pool: Pool, log: PostgresLog, **different: Any) -> Desk:
    """What the service works with."""
    given: dict[str, Any] = {
        "store": EventStore(log, Codec[ScaleBridgeEvent](EVENTS)),
        "pool": pool,
        "seal": Seal([generate_key()]),
        "policy": LOOPBACK,
        "work": Work(pool, 2.0),
        "breakers": Breakers(pool, utc_now, Rules()),
        "zone": ZoneInfo("UTC"),
        "clock": utc_now,
        "operation_seconds": 30.0,
    }
    return Desk(**(given | different))


async def until(holds: Any, seconds: float = 20.0) -> None:
    """Wait for something to be true, by a function that may be awaited."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


def job(operation_id: OperationId, device_id: DeviceId, tenant: str = TENANT) -> Job:
    """Work that nobody ordered."""
    return Job(
        tenant=tenant,
        operation_id=operation_id,
        device_id=device_id,
        deadline_at=utc_now() + timedelta(minutes=1),
    )
