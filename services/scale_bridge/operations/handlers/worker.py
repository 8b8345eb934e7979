"""The worker loop: it claims operations, executes them on the scale and records the result.

A worker that dies leaves a claim and a lease that run out; another worker then ends what was begun
(R25). Nothing is lost if the database goes away meanwhile: what was done is told later, or
the operation is ended as abandoned.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from contracts.scale_bridge import OperationId
from libs.errors import Unavailable
from libs.eventsourcing.log import Rejected, VersionConflict
from libs.http.hub import Hub
from libs.postgres.doorbell import APPENDED, Doorbell
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context
from services.scale_bridge.operations.domain import OperationOver, OperationUnknown
from services.scale_bridge.operations.handlers import completion, job_context, operation
from services.scale_bridge.operations.handlers.expiry import abort, expire
from services.scale_bridge.operations.handlers.job_context import JobContext
from services.scale_bridge.operations.stores import progress
from services.scale_bridge.operations.stores.progress import Moved
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.failure_texts import BAD_CATALOGUE, PROGRAM_FAULT
from services.scale_bridge.transfer.handlers.device_task import ExecutionContext
from services.scale_bridge.transfer.handlers.perform import perform
from services.scale_bridge.transfer.stores import rate_limits

log = structlog.get_logger(__name__)

MOST: Final = 200
"""How many operations are under way at once, those waiting for their turn included."""
SWEEP_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 5.0
BUSY_SECONDS: Final = 1.0
"""How often work is claimed while some is under way and no event is appended."""
TIDY_SECONDS: Final = 600.0
PROGRESS_SECONDS: Final = 1.0
"""How often is written down how far transfers are, all of them at once."""
PAUSE_SECONDS: Final = 1.0
OVER_ATTEMPTS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """Tells the log how far a case is."""

    context: Context
    case: JobContext
    holder: str

    async def begun(self, attempt: int) -> None:
        """See `ProgressListener`."""
        await completion.on_started(self.context, self.case, self.holder)

    async def applied(self, items: int) -> None:
        """See `ProgressListener`."""
        await completion.on_applied(self.context, self.case, items)


@dataclass(kw_only=True, slots=True)
class OperationWorker:
    """Does the work of a process. It claims some when events were appended, every `every` seconds
    at most; without that when the next is due, and every `IDLE_SECONDS`.

    With `takes=False` the worker only expires overdue operations.
    """

    context: Context
    execution: ExecutionContext
    doorbell: Doorbell
    takes: bool = True
    every: float = 0.1
    revisions: int = 50
    drain_seconds: float = 10.0
    running: dict[OperationId, asyncio.Task[None]] = field(default_factory=dict)
    jobs: dict[OperationId, Job] = field(default_factory=dict)
    moved: dict[OperationId, Moved] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, whatever becomes of the database; then let go of every scale.

        What is under way has `drain_seconds` to come to its end.
        """
        turns = [(self._sweep, SWEEP_SECONDS), (self._tidy, TIDY_SECONDS)]
        if self.takes:
            turns += [(self._renew, self.context.work.seconds / 4)]
            turns += [(self._save_progress, PROGRESS_SECONDS)]
        rounds = [
            asyncio.create_task(_again_and_again(turn, partial(asyncio.sleep, seconds)))
            for turn, seconds in turns
        ]
        hub = Hub(self.doorbell, APPENDED, pause=self.every, idle=IDLE_SECONDS)
        if self.takes:
            rounds.append(asyncio.create_task(self._take_on(hub)))
        try:
            await stop.wait()
        finally:
            hub.close()
            for task in rounds:
                task.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)
            await self._let_go()

    async def _take_on(self, hub: Hub) -> None:
        known, due = hub.round, IDLE_SECONDS

        async def take() -> None:
            nonlocal due
            due = IDLE_SECONDS
            await self._take()
            due = await self._seconds_until_work()

        async def until_work() -> None:
            nonlocal known
            known = await hub.wait(known, due)

        await _again_and_again(take, until_work)

    async def _seconds_until_work(self) -> float:
        """While something is under way it may be put off for a moment; else what is done next has
        its time in the table, or the event that queues it rings."""
        if self.running:
            return BUSY_SECONDS
        due = await self.context.work.seconds_until_due(self.context.clock())
        return IDLE_SECONDS if due is None else max(self.every, min(due, IDLE_SECONDS))

    async def _take(self) -> None:
        room = MOST - len(self.running)
        if room <= 0:
            return
        now = self.context.clock()
        for job in await self.context.work.claim(self.execution.holder, now, limit=room):
            if job.operation_id not in self.running:
                self._start(job)

    def _start(self, job: Job) -> None:
        name = f"operation {job.operation_id}"
        self.jobs[job.operation_id] = job
        task = self.running[job.operation_id] = asyncio.create_task(self._do(job), name=name)

        def over(done: asyncio.Task[None]) -> None:
            self.running.pop(job.operation_id, None)
            self.jobs.pop(job.operation_id, None)
            self.moved.pop(job.operation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("operation failed", exc_info=error, operation_id=str(job.operation_id))

        task.add_done_callback(over)

    async def _do(self, job: Job) -> None:
        with structlog.contextvars.bound_contextvars(
            operation_id=str(job.operation_id), device_id=str(job.device_id)
        ):
            try:
                case = await job_context.load(self.context, job)
                while case is not None:
                    case = await self._done(case)
            except Unavailable:
                # The claim runs out; another worker then goes on, or ends it.
                log.warning("operation left", reason="database away")
            except Exception as error:
                log.exception("operation failed")
                code = BAD_CATALOGUE if isinstance(error, Rejected) else PROGRAM_FAULT
                await abort(self.context, job, code)

    async def _done(self, case: JobContext) -> JobContext | None:
        steps = Steps(context=self.context, case=case, holder=self.execution.holder)
        try:
            performed = await perform(self._with_progress(case), case.device_task, steps)
        except (OperationOver, OperationUnknown, VersionConflict):
            log.info("operation in other hands")
            return None
        for _ in range(OVER_ATTEMPTS):
            try:
                return await completion.on_finished(self.context, case, performed)
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)
        raise Unavailable

    def _with_progress(self, case: JobContext) -> ExecutionContext:
        """The execution context with a driver that records how far the transfer is."""

        def progressed(done: int, total: int | None) -> None:
            if case.job.operation_id in self.running:
                self.moved[case.job.operation_id] = Moved(done, total)

        return replace(self.execution, driver=self.execution.driver.with_progress(progressed))

    async def _save_progress(self) -> None:
        """Write down how far they are, each time only those that went on."""
        moved, self.moved = self.moved, {}
        if moved:
            await progress.save(self.context.pool, self.execution.holder, moved)

    async def _renew(self) -> None:
        if self.running:
            await self.context.work.renew(self.execution.holder, list(self.running))

    async def _sweep(self) -> None:
        """End operations past their deadline, also those meant for agents."""
        context = self.context
        for job in await context.work.claim_overdue(
            self.execution.holder, context.clock(), limit=MOST
        ):
            if job.operation_id in self.running:
                continue
            try:
                found = await operation.load(context, job.tenant, job.operation_id)
            except OperationUnknown:
                await context.work.done(job.tenant, job.operation_id)
                continue
            await expire(context, job, found)

    async def _tidy(self) -> None:
        await document_store.tidy(self.context.pool, revisions=self.revisions)
        await rate_limits.tidy(self.context.pool)

    async def _let_go(self) -> None:
        """Let what is under way come to its end, break off the rest, and say so."""
        left = list(self.running.values())
        if left:
            await asyncio.wait(left, timeout=self.drain_seconds)
        jobs = list(self.jobs.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for job in jobs:
            with suppress(Unavailable, OperationUnknown):
                found = await operation.load(self.context, job.tenant, job.operation_id)
                if found.ended is None and found.holder == self.execution.holder:
                    await expire(self.context, job, found)


async def _again_and_again(
    turn: Callable[[], Awaitable[None]], rest: Callable[[], Awaitable[None]]
) -> None:
    while True:
        try:
            await turn()
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)
        except Exception:
            # Whatever it was: a bridge that stops working for good would be worse.
            log.exception("bridge disturbed")
            await asyncio.sleep(PAUSE_SECONDS)
        await rest()
