"""The worker loop: it claims operations, executes them on the scale and records the result.

A worker that dies leaves a claim and a lease that run out; another worker then ends the operations
it had begun (R25). While the database is unavailable, a worker keeps the result and records it
later; if that takes too long, the operation expires.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from libs.errors import Unavailable
from libs.eventsourcing.log import Rejected, VersionConflict
from libs.jobs.worker import Worker, new_holder
from libs.postgres.doorbell import APPENDED
from libs.postgres.leases import Leases
from libs.process.lifecycle import Task
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.operations.domain import OperationOver, OperationUnknown
from services.scale_bridge.operations.handlers import completion, job_context, operation
from services.scale_bridge.operations.handlers.expiry import abort, expire
from services.scale_bridge.operations.handlers.job_context import JobContext
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
TIDY_SECONDS: Final = 600.0
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


class OperationWorker(Worker[Job]):
    """Executes the operations of one process.

    Jobs are claimed after events were appended, at most once in `poll_seconds`. Unless its settings
    say `embedded` the worker only expires overdue operations.
    """

    def __init__(self, context: Context, execution: ExecutionContext) -> None:
        self.context, self.execution = context, execution
        super().__init__(
            name="operations",
            queue=WorkQueue.of(context),
            run_job=self._execute,
            retry=None,
            doorbell=context.doorbell,
            topics=(APPENDED,),
            clock=context.clock,
            holder=execution.holder,
            parallel=MOST,
            pause=context.settings.poll_seconds,
            claims=context.settings.embedded,
            on_overdue=self._expire_overdue,
            on_cancelled=self._expire_cancelled,
            steps=((self._tidy, TIDY_SECONDS),),
        )

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
        driver = self.execution.driver.with_progress(partial(self.progress, loaded.job))
        execution = replace(self.execution, driver=driver)
        listener = LoggedProgress(context=self.context, loaded=loaded, holder=self.execution.holder)
        try:
            performed = await perform(execution, loaded.device_task, listener)
        except (OperationOver, OperationUnknown, VersionConflict):
            log.info("operation in other hands")
            return None
        for _ in range(COMPLETION_ATTEMPTS):
            try:
                return await completion.on_finished(self.context, loaded, performed)
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)
        raise Unavailable

    async def _expire_overdue(self, job: Job) -> None:
        """Expire an operation past its deadline, also one of an agent."""
        try:
            state = await operation.load(self.context, job.tenant, job.operation_id)
        except OperationUnknown:
            await self.queue.finish(job)
            return
        await expire(self.context, job, state)

    async def _expire_cancelled(self, job: Job) -> None:
        with suppress(OperationUnknown):
            state = await operation.load(self.context, job.tenant, job.operation_id)
            if state.ended is None and state.holder == self.execution.holder:
                await expire(self.context, job, state)

    async def _tidy(self) -> None:
        await document_store.tidy(self.context.system, revisions=self.context.settings.revisions)
        await rate_limits.tidy(self.context.system)


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
            holder=new_holder(),
            chance=random.random,
            wait_seconds=settings.busy_seconds,
            read_back=settings.read_back,
        )
        yield OperationWorker(context, execution)


@asynccontextmanager
async def open_task(context: Context) -> AsyncIterator[Task]:
    """The task that works off operations, of the worker's process. Raises Unavailable."""
    async with open_worker(context) as worker:
        yield worker.run
