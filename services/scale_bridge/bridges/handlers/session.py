"""The service's side of one connection with a daemon: work goes out, what became of it comes in.

The claims on the work, and what was handed out, stand in the database: the next connection, to
whichever process, goes on with them. What is past its deadline ends as abandoned, like the work of
the service itself; the daemon's word comes too late then.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID, uuid5

import structlog

from libs.process.concurrency import race
from libs.security.sealed_box import seal_to
from services.scale_bridge.bridges.adapters import wire as bridge_wire
from services.scale_bridge.bridges.adapters.wire import Misunderstood, Parts
from services.scale_bridge.bridges.domain import (
    Heard,
    Heartbeat,
    Kept,
    Message,
    Part,
    Progress,
    Ready,
    Reported,
    Settled,
    Stage,
    Work,
    context_of,
)
from services.scale_bridge.bridges.handlers.results import holder_of, take_in
from services.scale_bridge.bridges.stores import agent_assignments, bridges
from services.scale_bridge.bridges.stores.agent_assignments import AgentAssignment
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import Document, digest, serialize
from services.scale_bridge.operations.handlers import job_context
from services.scale_bridge.operations.handlers.job_context import JobContext
from services.scale_bridge.operations.stores.work import Job

POLL_SECONDS: Final = 0.2
LATE: Final = timedelta(seconds=30)
"""So long past its deadline an operation is waited for, while its daemon is connected."""
MOST_AT_ONCE: Final = 20

log = structlog.get_logger(__name__)


class Superseded(Exception):
    """The daemon has opened another connection."""


class Line(Protocol):
    """The connection; both raise what ends it."""

    async def send(self, message: Message) -> None: ...
    async def receive(self) -> Message: ...


@dataclass(kw_only=True, slots=True)
class Session:
    """One connection. `holding` are the tasks the daemon has, `room` how many more it takes."""

    context: Context
    tenant: str
    bridge_id: UUID
    connection_id: UUID
    public_key: bytes = field(repr=False)
    line: Line
    holding: set[UUID]
    room: int = 0
    parts: Parts = field(default_factory=Parts)
    content: tuple[str, bytes] = "", b""
    handing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def attend(self) -> None:
        """To the end of the connection: raises what the line raises, Superseded, Misunderstood,
        and whatever keeps the log from being written.
        """
        await race(self._listen(), self._hand_out(), self._renew())

    async def _listen(self) -> None:
        while True:
            await self._hear(await self.line.receive())

    async def _hear(self, message: Message) -> None:
        pool = self.context.pool
        match message:
            case Ready(room=room):
                self.room = room
            case Kept(operation_id=errand_id):
                self.holding.add(errand_id)
            case Progress(operation_id=errand_id, done=done, total=total):
                await agent_assignments.moved(
                    pool, self.tenant, self.bridge_id, errand_id, done, total
                )
            case Part(md5=md5) as part:
                content = await asyncio.to_thread(self.parts.take, part)
                if content is not None:
                    self.content = md5, content
            case Reported():
                await self._reported(message)
            case Heartbeat():
                await bridges.seen(pool, self.tenant, self.bridge_id, self.connection_id, message)
                await self.line.send(Heard())
            case _:
                raise Misunderstood("a message the other way round")

    async def _reported(self, message: Reported) -> None:
        report, errand_id = message.report, message.operation_id
        content = None
        if report.content is not None:
            md5, content = self.content
            if md5 != report.content:
                raise Misunderstood("a report without its catalogue")
        with structlog.contextvars.bound_contextvars(operation_id=str(errand_id)):
            following, attempts = await take_in(
                self.context, self.tenant, self.bridge_id, errand_id, report, content
            )
            if following is not None:
                await self._hand(following, attempts)
        if report.stage is Stage.ENDED:
            await agent_assignments.done(
                self.context.pool, self.tenant, self.bridge_id, [errand_id]
            )
            self.holding.discard(errand_id)
            self.content = "", b""
        await self.line.send(Settled(operation_id=errand_id, number=message.number))

    async def _hand_out(self) -> None:
        """Give the daemon what is its to do, as long as it has room."""
        work, holder = self.context.work, holder_of(self.bridge_id)
        while True:
            limit = min(self.room, MOST_AT_ONCE)
            jobs = (
                await work.claim(holder, self.context.clock(), limit=limit, bridge=self.bridge_id)
                if limit > 0
                else ()
            )
            for job in jobs:
                await self._offer(job)
            await asyncio.sleep(POLL_SECONDS)

    async def _offer(self, job: Job) -> None:
        """Hand a job out, unless the daemon has it, or it is nothing of the daemon's."""
        if self.holding & {job.operation_id, _first_half(job)}:
            return
        with structlog.contextvars.bound_contextvars(operation_id=str(job.operation_id)):
            if not await self._is_ours(job):
                # The device names this bridge, but it is another account's.
                log.warning("work of somebody else", bridge=str(self.bridge_id))
                return
            case = await job_context.load(self.context, job)
            if case is not None:
                await self._hand(case, 0)

    async def _is_ours(self, job: Job) -> bool:
        """Whether the scale belongs to the account that enrolled the daemon: others are refused."""
        if job.tenant != self.tenant:
            return False
        owner = await bridges.owner_of(self.context.pool, self.tenant, self.bridge_id)
        if owner is None:
            return False
        return await device.is_owned(self.context, self.tenant, job.device_id, owner)

    async def _hand(self, case: JobContext, attempts: int) -> None:
        device_task, job = case.device_task, case.job
        row = AgentAssignment(
            errand_id=_first_half(job) if case.is_first_half else job.operation_id,
            operation_id=job.operation_id,
            device_id=job.device_id,
            deadline_at=job.deadline_at,
            kind=device_task.kind,
            address=device_task.address,
            port=device_task.port,
            revision=case.copy.revision,
            content=case.content,
            attempts=attempts,
        )
        async with self.handing:
            # One catalogue's parts after the other's.
            await self._send_work(row, case)
        log.info("work handed out", bridge=str(self.bridge_id), kind=device_task.kind)

    async def _send_work(self, row: AgentAssignment, case: JobContext) -> None:
        device_task, device_id = case.device_task, case.job.device_id
        await agent_assignments.put(self.context.pool, self.tenant, self.bridge_id, row)
        wanted, known = await self._sent(device_task.desired), await self._sent(device_task.known)
        self.room -= 1
        self.holding.add(row.errand_id)
        await self.line.send(
            Work(
                operation_id=row.errand_id,
                device_id=device_id,
                kind=device_task.kind,
                full=device_task.full,
                address=device_task.address,
                port=device_task.port,
                password=seal_to(
                    self.public_key, device_task.password, context_of(row.errand_id, device_id)
                ),
                seconds_left=device_task.seconds,
                catalogue=wanted,
                known=known,
                diagnose=device_task.diagnose,
                strictness=device_task.strictness,
            )
        )

    async def _sent(self, document: Document | None) -> str | None:
        """Send a catalogue ahead; its MD5."""
        if document is None:
            return None
        content = await asyncio.to_thread(serialize, document)
        md5, packed = digest(content), await asyncio.to_thread(bridge_wire.compressed, content)
        for part in bridge_wire.parts_of(md5, packed):
            await self.line.send(part)
        return md5

    async def _renew(self) -> None:
        """Keep the claims on what the daemon has, and see whether it is still this connection's."""
        pool, holder = self.context.pool, holder_of(self.bridge_id)
        while True:
            if not await bridges.is_current(pool, self.tenant, self.bridge_id, self.connection_id):
                raise Superseded
            waited = await agent_assignments.open_operations(
                pool, self.tenant, self.bridge_id, self.holding, grace=LATE
            )
            await self.context.work.renew(holder, waited)
            await asyncio.sleep(self.context.work.seconds / 4)


def _first_half(job: Job) -> UUID:
    """The id of the task that comes first where an operation needs two."""
    return uuid5(job.operation_id, "first half")
