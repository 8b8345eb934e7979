"""The worker loop: it claims operations, executes them on the scale and records the result.

A worker that dies leaves a claim and a lease that run out; another worker then ends the operations
it had begun (R25). While the database is unavailable, a worker keeps the result and records it
later; if that takes too long, the operation expires.
"""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from contracts.scale_bridge import OperationId
from libs.errors import Unavailable
from libs.eventsourcing.log import Rejected, VersionConflict
from libs.http.hub import Hub
from libs.postgres.doorbell import APPENDED
from libs.postgres.leases import Leases
from libs.process.concurrency import reraise_cancellation
from libs.process.lifecycle import Task
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.operations.domain import OperationOver, OperationUnknown
from services.scale_bridge.operations.handlers import completion, job_context, operation
from services.scale_bridge.operations.handlers.expiry import abort, expire
from services.scale_bridge.operations.handlers.job_context import JobContext
from services.scale_bridge.operations.stores import progress
from services.scale_bridge.operations.stores.progress import Transferred
from services.scale_bridge.operations.stores.work import Job, WorkQueue
from services.scale_bridge.transfer.domain.failure_texts import BAD_CATALOGUE, PROGRAM_FAULT
from services.scale_bridge.transfer.handlers.device_task import ExecutionContext
from services.scale_bridge.transfer.handlers.perform import perform
from services.scale_bridge.transfer.stores import rate_limits
from services.scale_bridge.transfer.stores.breakers import Breakers
from services.scale_bridge.transfer.stores.rate_limits import RateLimits

log = structlog.get_logger(__name__)

MOST: Final = 200
"""How many operations run at once, those that wait for a device lease included."""
SWEEP_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 5.0
BUSY_SECONDS: Final = 1.0
"""How often jobs are claimed while some are running and no event is appended."""
TIDY_SECONDS: Final = 600.0
PROGRESS_SECONDS: Final = 1.0
"""How often the progress of all transfers is stored."""
PAUSE_SECONDS: Final = 1.0
COMPLETION_ATTEMPTS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedProgress:
    """A `ProgressListener` that records attempts and imports in the log."""

    context: Context
    loaded: JobContext
    holder: str

    async def begun(self, attempt: int) -> None:
        """See `ProgressListener`."""
        await completion.on_started(self.context, self.loaded, self.holder)

    async def applied(self, items: int) -> None:
        """See `ProgressListener`."""
        await completion.on_applied(self.context, self.loaded, items)


@dataclass(kw_only=True, slots=True)
class OperationWorker:
    """Executes the operations of one process.

    Jobs are claimed after events were appended, at most once in `poll_seconds`; also when the next
    job is due, and every `IDLE_SECONDS`. Unless its settings say `embedded` the worker only expires
    overdue operations.
    """

    context: Context
    execution: ExecutionContext
    drain_seconds: float = 10.0
    running: dict[OperationId, asyncio.Task[None]] = field(default_factory=dict)
    jobs: dict[OperationId, Job] = field(default_factory=dict)
    progress: dict[OperationId, Transferred] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; running operations then have `drain_seconds` to end.

        Failures, also of the database, are logged and retried.
        """
        context, settings = self.context, self.context.settings
        steps = [(self._sweep, SWEEP_SECONDS), (self._tidy, TIDY_SECONDS)]
        if settings.embedded:
            steps += [(self._renew, settings.lease_seconds / 4)]
            steps += [(self._save_progress, PROGRESS_SECONDS)]
        loops = [
            asyncio.create_task(_repeat(step, partial(asyncio.sleep, seconds)))
            for step, seconds in steps
        ]
        hub = Hub(context.doorbell, APPENDED, pause=settings.poll_seconds, idle=IDLE_SECONDS)
        if settings.embedded:
            loops.append(asyncio.create_task(self._claim_jobs(hub)))
        try:
            await stop.wait()
        finally:
            hub.close()
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._drain()

    async def _claim_jobs(self, hub: Hub) -> None:
        known, due = hub.round, IDLE_SECONDS

        async def claim() -> None:
            nonlocal due
            due = IDLE_SECONDS
            await self._claim()
            due = await self._seconds_until_job()

        async def until_job() -> None:
            nonlocal known
            known = await hub.wait(known, due)

        await _repeat(claim, until_job)

    async def _seconds_until_job(self) -> float:
        """Seconds until jobs are claimed without a new event.

        While operations run, a job may be put off by them for a moment. Else the next job has its
        time in the table, or its event rings the doorbell.
        """
        if self.running:
            return BUSY_SECONDS
        due = await WorkQueue.of(self.context).seconds_until_due(self.context.clock())
        return (
            IDLE_SECONDS
            if due is None
            else max(self.context.settings.poll_seconds, min(due, IDLE_SECONDS))
        )

    async def _claim(self) -> None:
        room = MOST - len(self.running)
        if room <= 0:
            return
        now = self.context.clock()
        for job in await WorkQueue.of(self.context).claim(self.execution.holder, now, limit=room):
            if job.operation_id not in self.running:
                self._start(job)

    def _start(self, job: Job) -> None:
        name = f"operation {job.operation_id}"
        self.jobs[job.operation_id] = job
        task = self.running[job.operation_id] = asyncio.create_task(self._execute(job), name=name)

        def forget(done: asyncio.Task[None]) -> None:
            self.running.pop(job.operation_id, None)
            self.jobs.pop(job.operation_id, None)
            self.progress.pop(job.operation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("operation failed", exc_info=error, operation_id=str(job.operation_id))

        task.add_done_callback(forget)

    async def _execute(self, job: Job) -> None:
        with structlog.contextvars.bound_contextvars(
            operation_id=str(job.operation_id), device_id=str(job.device_id)
        ):
            try:
                loaded = await job_context.load(self.context, job)
                while loaded is not None:
                    loaded = await self._perform(loaded)
            except Unavailable:
                # The claim runs out; another worker then executes or ends the operation.
                log.warning("operation left", reason="database away")
            except Exception as error:
                log.exception("operation failed")
                code = BAD_CATALOGUE if isinstance(error, Rejected) else PROGRAM_FAULT
                await abort(self.context, job, code)

    async def _perform(self, loaded: JobContext) -> JobContext | None:
        """Execute a task and apply its result; the follow-up task, if there is one."""
        listener = LoggedProgress(context=self.context, loaded=loaded, holder=self.execution.holder)
        try:
            performed = await perform(self._with_progress(loaded), loaded.device_task, listener)
        except (OperationOver, OperationUnknown, VersionConflict):
            log.info("operation in other hands")
            return None
        for _ in range(COMPLETION_ATTEMPTS):
            try:
                return await completion.on_finished(self.context, loaded, performed)
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)
        raise Unavailable

    def _with_progress(self, loaded: JobContext) -> ExecutionContext:
        """The execution context with a driver that reports the progress of the transfer."""
        operation_id = loaded.job.operation_id

        def progressed(done: int, total: int | None) -> None:
            if operation_id in self.running:
                self.progress[operation_id] = Transferred(done, total)

        return replace(self.execution, driver=self.execution.driver.with_progress(progressed))

    async def _save_progress(self) -> None:
        """Store the progress of the transfers that went on since the last time."""
        transferred, self.progress = self.progress, {}
        if transferred:
            await progress.save(self.context.system, self.execution.holder, transferred)

    async def _renew(self) -> None:
        if self.running:
            await WorkQueue.of(self.context).renew(self.execution.holder, list(self.running))

    async def _sweep(self) -> None:
        """Expire operations past their deadline, also those of agents."""
        context = self.context
        for job in await WorkQueue.of(context).claim_overdue(
            self.execution.holder, context.clock(), limit=MOST
        ):
            if job.operation_id in self.running:
                continue
            try:
                state = await operation.load(context, job.tenant, job.operation_id)
            except OperationUnknown:
                await WorkQueue.of(context).done(job.tenant, job.operation_id)
                continue
            await expire(context, job, state)

    async def _tidy(self) -> None:
        await document_store.tidy(self.context.system, revisions=self.context.settings.revisions)
        await rate_limits.tidy(self.context.system)

    async def _drain(self) -> None:
        """Wait `drain_seconds` for running operations; cancel the others and expire them."""
        left = list(self.running.values())
        if left:
            await asyncio.wait(left, timeout=self.drain_seconds)
        jobs = list(self.jobs.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for job in jobs:
            with suppress(Unavailable, OperationUnknown):
                state = await operation.load(self.context, job.tenant, job.operation_id)
                if state.ended is None and state.holder == self.execution.holder:
                    await expire(self.context, job, state)


@asynccontextmanager
async def open_worker(context: Context) -> AsyncIterator[OperationWorker]:
    """The operation worker, not yet running, with the driver of its own. Raises Unavailable."""
    settings = context.settings
    async with open_driver(connections=settings.lines, limits=settings.limits) as driver:
        execution = ExecutionContext(
            driver=driver,
            leases=Leases(context.system, settings.lease_seconds),
            breakers=Breakers.of(context),
            rate_limits=RateLimits(context.system, settings.connection_seconds),
            policy=settings.policy,
            holder=f"{socket.gethostname()} {os.getpid()} {random.getrandbits(48):012x}",
            chance=random.random,
            wait_seconds=settings.busy_seconds,
            read_back=settings.read_back,
        )
        yield OperationWorker(context=context, execution=execution)


@asynccontextmanager
async def open_task(context: Context) -> AsyncIterator[Task]:
    """The task that works off operations, of the worker's process. Raises Unavailable."""
    async with open_worker(context) as worker:
        yield worker.run


async def _repeat(
    step: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]
) -> None:
    """Run a step again and again; a failure is logged and does not end the loop."""
    while True:
        try:
            await step()
        except Unavailable as error:
            reraise_cancellation(error)
            await asyncio.sleep(PAUSE_SECONDS)
        except Exception as error:
            reraise_cancellation(error)
            # Any failure: a worker that stopped for good would be worse.
            log.exception("worker disturbed")
            await asyncio.sleep(PAUSE_SECONDS)
        await pause()
