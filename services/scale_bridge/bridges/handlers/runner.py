"""The agent's task runner: it executes every stored task and stores its reports."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

import structlog

from services.scale_bridge.bridges.adapters.wire import compressed
from services.scale_bridge.bridges.domain import Progress, Report, ReportStage
from services.scale_bridge.bridges.stores.agent_store import AgentStore, AgentTask
from services.scale_bridge.transfer.domain.failure_texts import (
    INTERRUPTED,
    NOT_BEGUN,
    PROGRAM_FAULT,
    sentence,
)
from services.scale_bridge.transfer.domain.kinds import Outcome, broken_off

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 5.0
"""How often stored tasks are read again without a wake-up."""


class Wakeup:
    """A signal that stays set until it is waited for."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Set the signal."""
        self._rung.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the signal and clear it; give up after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class TaskHandler(Protocol):
    """Executes a task and reports its progress; the last report is ENDED.

    A task that was begun before may have written to the scale.
    """

    async def __call__(self, task: AgentTask, reporter: "Reporter") -> None:
        """Any exception ends the task as failed, or as unknown if it sends."""
        ...


@dataclass(kw_only=True, slots=True)
class Runner:
    """Executes the tasks of an agent. `work` signals new tasks, `news` new reports.

    It connects to `lines` scales at once and accepts `most` tasks.
    """

    store: AgentStore
    handle: TaskHandler
    now: Callable[[], float]
    lines: int = 32
    most: int = 256
    work: Wakeup = field(default_factory=Wakeup)
    news: Wakeup = field(default_factory=Wakeup)
    progress: dict[UUID, Progress] = field(default_factory=dict)
    running: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more tasks the agent accepts."""
        return max(0, self.most - len(self.running))

    async def run(self) -> None:
        """Execute stored and new tasks until cancelled; interrupted tasks are executed again."""
        slots = asyncio.Semaphore(self.lines)
        try:
            while True:
                for task in await self.store.tasks():
                    if task.work.operation_id not in self.running:
                        self._start(task, slots)
                await self.work.wait(AGAIN_SECONDS)
        finally:
            left = list(self.running.values())
            for running in left:
                running.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _start(self, task: AgentTask, slots: asyncio.Semaphore) -> None:
        operation_id = task.work.operation_id
        execution = asyncio.create_task(
            self._execute(task, slots), name=f"operation {operation_id}"
        )
        self.running[operation_id] = execution

        def forget(done: asyncio.Task[None]) -> None:
            self.running.pop(operation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                # The task is still stored, and is executed again.
                log.error("task failed", operation=str(operation_id), error=type(error).__name__)
            self.news.ring()

        execution.add_done_callback(forget)

    async def _execute(self, task: AgentTask, slots: asyncio.Semaphore) -> None:
        work = task.work
        reporter = Reporter(self, task)
        with structlog.contextvars.bound_contextvars(
            operation_id=str(work.operation_id), device_id=str(work.device_id)
        ):
            async with slots:
                if task.until <= self.now():
                    return await reporter.ended(_expired(task))
                await self.store.begin(work.operation_id)
                try:
                    await self.handle(task, reporter)
                except Exception:
                    log.exception("operation failed", kind=work.kind)
                    await reporter.ended(_ended(broken_off(work.kind), PROGRAM_FAULT))


@dataclass(frozen=True, slots=True)
class Reporter:
    """Reports the progress and the end of one task."""

    runner: Runner
    task: AgentTask

    async def report(self, report: Report, content: bytes | None = None) -> None:
        """Store a report and the catalogue it names; nothing is stored after an ENDED one."""
        contents: Mapping[str, bytes] = {}
        if content is not None and report.content is not None:
            contents = {report.content: await asyncio.to_thread(compressed, content)}
        await self.runner.store.report(self.task.work.operation_id, report, contents)
        self.runner.news.ring()

    async def ended(self, report: Report, content: bytes | None = None) -> None:
        """Store the last report. Safe to repeat: only the first counts."""
        await self.report(report, content)
        self.runner.progress.pop(self.task.work.operation_id, None)
        log.info("operation ended", outcome=report.outcome, code=report.code)

    async def completed(self) -> None:
        """Count an exchange that the scale completed."""
        await self.runner.store.completed()

    def progress(self, done: int, total: int | None) -> None:
        """Report so many bytes transferred, of a total that may be unknown."""
        operation_id = self.task.work.operation_id
        self.runner.progress[operation_id] = Progress(
            operation_id=operation_id, done=done, total=total
        )
        self.runner.news.ring()


def _expired(task: AgentTask) -> Report:
    if not task.begun:
        return _ended(Outcome.FAILED, NOT_BEGUN)
    return _ended(broken_off(task.work.kind), INTERRUPTED)


def _ended(outcome: Outcome, code: str) -> Report:
    return Report(
        stage=ReportStage.ENDED,
        attempt=0,
        outcome=outcome,
        code=code,
        detail=sentence(code, outcome),
    )
