"""Local execution: an agent executes a task with the same code as the service."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from contracts.scale_bridge import DeviceId, OperationId
from libs.security.sealed_box import open_sealed
from libs.security.sealing import SealBroken
from services.scale_bridge.bridges.adapters.wire import read_catalogue
from services.scale_bridge.bridges.domain import Report, ReportStage, context_of
from services.scale_bridge.bridges.handlers.runner import Reporter, TaskHandler
from services.scale_bridge.bridges.stores.agent_store import AgentTask
from services.scale_bridge.driver.domain.document import Document, digest, serialize
from services.scale_bridge.transfer.domain.failure_texts import PASSWORD_LOST
from services.scale_bridge.transfer.domain.kinds import Kind
from services.scale_bridge.transfer.handlers.device_task import (
    DeviceTask,
    ExecutionContext,
    Performed,
    doubted,
    failed,
)
from services.scale_bridge.transfer.handlers.perform import perform


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentTools:
    """What an agent executes tasks with. `private_key` opens passwords, `now` is wall time."""

    execution: ExecutionContext
    private_key: Callable[[], bytes] = field(repr=False)
    now: Callable[[], float]


def task_handler(tools: AgentTools) -> TaskHandler:
    """A handler that executes tasks with `tools`."""

    async def handle(task: AgentTask, reporter: Reporter) -> None:
        listener = _ReportedProgress(reporter)
        performed = await _performed(tools, task, reporter, listener)
        if task.begun and performed.read is None:
            # Repeated after an interruption: the first attempt may have succeeded.
            performed = doubted(performed, task.work.kind)
        await _report_end(performed, reporter, listener.attempt)

    return handle


async def _performed(
    tools: AgentTools, task: AgentTask, reporter: Reporter, listener: "_ReportedProgress"
) -> Performed:
    try:
        device_task = await _device_task(tools, task, reporter)
    except SealBroken:
        return failed(PASSWORD_LOST)
    driver = tools.execution.driver.with_progress(reporter.progress)
    return await perform(replace(tools.execution, driver=driver), device_task, listener)


async def _device_task(tools: AgentTools, task: AgentTask, reporter: Reporter) -> DeviceTask:
    """Raises SealBroken."""
    work = task.work
    key = await asyncio.to_thread(tools.private_key)
    return DeviceTask(
        operation_id=OperationId(work.operation_id),
        device_id=DeviceId(work.device_id),
        kind=Kind(work.kind),
        address=work.address,
        port=work.port,
        password=open_sealed(key, work.password, context_of(work.operation_id, work.device_id)),
        # A clock that was set back does not extend the deadline.
        seconds=min(task.until - tools.now(), work.seconds_left),
        full=work.full,
        desired=await _catalogue(reporter, work.catalogue),
        known=await _catalogue(reporter, work.known),
        diagnose=work.diagnose,
        strictness=work.strictness,
    )


async def _catalogue(reporter: Reporter, md5: str | None) -> Document | None:
    packed = None if md5 is None else await reporter.runner.store.content(md5)
    return None if packed is None else await asyncio.to_thread(read_catalogue, packed)


async def _report_end(performed: Performed, reporter: Reporter, attempt: int) -> None:
    read, content = performed.read, None
    if read is not None:
        await reporter.completed()
        content = await asyncio.to_thread(serialize, read.document)
    report = Report(
        stage=ReportStage.ENDED,
        attempt=attempt,
        outcome=performed.outcome,
        code=performed.code,
        detail=performed.detail,
        result=performed.result,
        items=performed.items,
        doubtful=performed.doubtful,
        content=None if content is None else digest(content),
        catalogue=reporter.task.work.catalogue,
    )
    await reporter.ended(report, content)


class _ReportedProgress:
    """A `ProgressListener` that reports to the service."""

    def __init__(self, reporter: Reporter) -> None:
        self.attempt = 0
        self._reporter = reporter

    async def begun(self, attempt: int) -> None:
        self.attempt = attempt
        await self._reporter.report(Report(stage=ReportStage.BEGAN, attempt=attempt))

    async def applied(self, items: int) -> None:
        await self._reporter.completed()
        await self._reporter.report(
            Report(stage=ReportStage.APPLIED, attempt=self.attempt, items=items)
        )
