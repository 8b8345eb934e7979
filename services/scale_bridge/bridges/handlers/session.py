"""The service's side of one connection with an agent: it sends tasks and applies reports.

Claims and assignments are stored in the database: the next connection, to any process, continues
with them. Operations past their deadline expire like those of the service itself; later reports of
them are ignored.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID, uuid5

import structlog

from libs.process.concurrency import race
from libs.security.sealed_box import seal_to
from services.scale_bridge.bridges.adapters import wire
from services.scale_bridge.bridges.adapters.wire import Misunderstood, Parts
from services.scale_bridge.bridges.domain import (
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Part,
    Progress,
    Ready,
    Reported,
    ReportStage,
    Settled,
    Work,
    WorkStored,
    context_of,
)
from services.scale_bridge.bridges.handlers.results import apply_report, holder_of
from services.scale_bridge.bridges.stores import agent_assignments, bridges
from services.scale_bridge.bridges.stores.agent_assignments import AgentAssignment
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import Document, digest, serialize
from services.scale_bridge.operations.handlers import job_context
from services.scale_bridge.operations.handlers.job_context import JobContext
from services.scale_bridge.operations.stores.work import Job, WorkQueue

POLL_SECONDS: Final = 0.2
GRACE: Final = timedelta(seconds=30)
"""How long after its deadline an operation may still end, while its agent is connected."""
MOST_AT_ONCE: Final = 20

log = structlog.get_logger(__name__)


class Superseded(Exception):
    """The agent has opened another connection."""


class AgentConnection(Protocol):
    """A connection to an agent. Both methods raise what ends it."""

    async def send(self, message: Message) -> None: ...
    async def receive(self) -> Message: ...


@dataclass(kw_only=True, slots=True)
class AgentSession:
    """One connection. `holding` are the agent's tasks, `room` how many more it accepts."""

    context: Context
    tenant: str
    bridge_id: UUID
    connection_id: UUID
    public_key: bytes = field(repr=False)
    connection: AgentConnection
    holding: set[UUID]
    room: int = 0
    parts: Parts = field(default_factory=Parts)
    content: tuple[str, bytes] = "", b""
    assigning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Exchange messages until the connection ends.

        Raises what the connection raises, Superseded, Misunderstood, Unavailable, VersionConflict.
        """
        await race(self._receive(), self._assign_jobs(), self._renew())

    async def _receive(self) -> None:
        while True:
            await self._handle(await self.connection.receive())

    async def _handle(self, message: Message) -> None:
        pool = self.context.system
        match message:
            case Ready(room=room):
                self.room = room
            case WorkStored(operation_id=task_id):
                self.holding.add(task_id)
            case Progress(operation_id=task_id, done=done, total=total):
                await agent_assignments.save_progress(
                    pool, self.tenant, self.bridge_id, task_id, done, total
                )
            case Part(md5=md5) as part:
                content = await asyncio.to_thread(self.parts.take, part)
                if content is not None:
                    self.content = md5, content
            case Reported():
                await self._apply_report(message)
            case Heartbeat():
                await bridges.record_heartbeat(
                    pool, self.tenant, self.bridge_id, self.connection_id, message
                )
                await self.connection.send(HeartbeatAnswer())
            case _:
                raise Misunderstood("a message the other way round")

    async def _apply_report(self, message: Reported) -> None:
        report, task_id = message.report, message.operation_id
        content = None
        if report.content is not None:
            md5, content = self.content
            if md5 != report.content:
                raise Misunderstood("a report without its catalogue")
        with structlog.contextvars.bound_contextvars(operation_id=str(task_id)):
            following, attempts = await apply_report(
                self.context, self.tenant, self.bridge_id, task_id, report, content
            )
            if following is not None:
                await self._assign(following, attempts)
        if report.stage is ReportStage.ENDED:
            await agent_assignments.remove(
                self.context.system, self.tenant, self.bridge_id, [task_id]
            )
            self.holding.discard(task_id)
            self.content = "", b""
        await self.connection.send(Settled(operation_id=task_id, number=message.number))

    async def _assign_jobs(self) -> None:
        """Claim jobs for the agent as long as it has room, and send their tasks."""
        work, holder = WorkQueue.of(self.context, self.bridge_id), holder_of(self.bridge_id)
        while True:
            limit = min(self.room, MOST_AT_ONCE)
            if limit > 0:
                for job in await work.claim(holder, self.context.clock(), limit=limit):
                    await self._assign_job(job)
            await asyncio.sleep(POLL_SECONDS)

    async def _assign_job(self, job: Job) -> None:
        """Send the task of a job, unless the agent has it or may not drive the device."""
        if self.holding & {job.operation_id, _first_task_id(job)}:
            return
        with structlog.contextvars.bound_contextvars(operation_id=str(job.operation_id)):
            if not await self._is_ours(job):
                # The device names this agent, but belongs to another account.
                log.warning("device of another account", bridge=str(self.bridge_id))
                return
            loaded = await job_context.load(self.context, job)
            if loaded is not None:
                await self._assign(loaded, 0)

    async def _is_ours(self, job: Job) -> bool:
        """Whether the device belongs to the account that enrolled the agent."""
        if job.tenant != self.tenant:
            return False
        owner = await bridges.owner_of(self.context.system, self.tenant, self.bridge_id)
        if owner is None:
            return False
        return await device.is_owned(self.context, self.tenant, job.device_id, owner)

    async def _assign(self, loaded: JobContext, attempts: int) -> None:
        device_task, job = loaded.device_task, loaded.job
        row = AgentAssignment(
            task_id=_first_task_id(job) if loaded.is_first_half else job.operation_id,
            operation_id=job.operation_id,
            device_id=job.device_id,
            deadline_at=job.deadline_at,
            kind=device_task.kind,
            address=device_task.address,
            port=device_task.port,
            revision=loaded.catalogue.revision,
            content=loaded.content,
            attempts=attempts,
        )
        async with self.assigning:
            # The parts of two catalogues must not be interleaved.
            await self._send_task(row, loaded)
        log.info("task assigned", bridge=str(self.bridge_id), kind=device_task.kind)

    async def _send_task(self, row: AgentAssignment, loaded: JobContext) -> None:
        device_task, device_id = loaded.device_task, loaded.job.device_id
        await agent_assignments.put(self.context.system, self.tenant, self.bridge_id, row)
        desired = await self._send_catalogue(device_task.desired)
        known = await self._send_catalogue(device_task.known)
        self.room -= 1
        self.holding.add(row.task_id)
        await self.connection.send(
            Work(
                operation_id=row.task_id,
                device_id=device_id,
                kind=device_task.kind,
                full=device_task.full,
                address=device_task.address,
                port=device_task.port,
                password=seal_to(
                    self.public_key, device_task.password, context_of(row.task_id, device_id)
                ),
                seconds_left=device_task.seconds,
                catalogue=desired,
                known=known,
                diagnose=device_task.diagnose,
                strictness=device_task.strictness,
            )
        )

    async def _send_catalogue(self, document: Document | None) -> str | None:
        """Send a catalogue in parts, before the task that names it; its MD5."""
        if document is None:
            return None
        content = await asyncio.to_thread(serialize, document)
        md5, packed = digest(content), await asyncio.to_thread(wire.compressed, content)
        for part in wire.parts_of(md5, packed):
            await self.connection.send(part)
        return md5

    async def _renew(self) -> None:
        """Renew the claims on the agent's jobs. Raises Superseded after a newer connection."""
        pool, holder = self.context.system, holder_of(self.bridge_id)
        while True:
            if not await bridges.is_current(pool, self.tenant, self.bridge_id, self.connection_id):
                raise Superseded
            pending = await agent_assignments.open_operations(
                pool, self.tenant, self.bridge_id, self.holding, grace=GRACE
            )
            keys = [(self.tenant, operation_id) for operation_id in pending]
            await WorkQueue.of(self.context).renew(holder, keys)
            await asyncio.sleep(self.context.settings.lease_seconds / 4)


def _first_task_id(job: Job) -> UUID:
    """The id of the first task of an operation that has two."""
    return uuid5(job.operation_id, "first half")
