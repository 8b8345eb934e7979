"""The agent's task runner: every stored task is executed, and ends once."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

import structlog

from services.scale_bridge.bridges.adapters.wire import compressed
from services.scale_bridge.bridges.domain import Progress, Report, Stage
from services.scale_bridge.bridges.stores.rows import Task
from services.scale_bridge.bridges.stores.store import BridgeStore
from services.scale_bridge.transfer.domain.failure_texts import (
    INTERRUPTED,
    NOT_BEGUN,
    PROGRAM_FAULT,
    sentence,
)
from services.scale_bridge.transfer.domain.kinds import SENDS

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 5.0
"""After so long the disk is read again without a wake-up."""


class Wakeup:
    """A signal that stays set until it is waited for."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is something new."""
        self._rung.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for a ring, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class TaskHandler(Protocol):
    """Does what a task asks for, and says what becomes of it; the last word is an ENDED report.

    Of a task that was begun before it is unknown what the scale took in.
    """

    async def __call__(self, task: Task, reporter: "Reporter") -> None:
        """Raises whatever it likes: the task then ends as failed, or as unknown if it sends."""
        ...


@dataclass(kw_only=True, slots=True)
class Runner:
    """The tasks of a daemon. `work` rings for new ones, `news` when there is something to tell.

    `lines` scales are spoken to at once, `most` tasks taken.
    """

    store: BridgeStore
    carry_out: TaskHandler
    now: Callable[[], float]
    lines: int = 32
    most: int = 256
    work: Wakeup = field(default_factory=Wakeup)
    news: Wakeup = field(default_factory=Wakeup)
    progress: dict[UUID, Progress] = field(default_factory=dict)
    running: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many tasks more are welcome."""
        return max(0, self.most - len(self.running))

    async def run(self) -> None:
        """Do what is kept and what comes, until cancelled: what was begun then is not over."""
        turns = asyncio.Semaphore(self.lines)
        try:
            while True:
                for task in await self.store.tasks():
                    if task.work.operation_id not in self.running:
                        self._start(task, turns)
                await self.work.wait(AGAIN_SECONDS)
        finally:
            left = list(self.running.values())
            for one in left:
                one.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _start(self, task: Task, turns: asyncio.Semaphore) -> None:
        operation_id = task.work.operation_id
        doing = asyncio.create_task(self._do(task, turns), name=f"operation {operation_id}")
        self.running[operation_id] = doing

        def over(done: asyncio.Task[None]) -> None:
            self.running.pop(operation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                # It still is on the disk, and is looked at again.
                log.error("task failed", operation=str(operation_id), error=type(error).__name__)
            self.news.ring()

        doing.add_done_callback(over)

    async def _do(self, task: Task, turns: asyncio.Semaphore) -> None:
        work = task.work
        reporter = Reporter(self, task)
        with structlog.contextvars.bound_contextvars(
            operation_id=str(work.operation_id), device_id=str(work.device_id)
        ):
            async with turns:
                if task.until <= self.now():
                    return await reporter.ended(_too_late(task))
                await self.store.begin(work.operation_id)
                try:
                    await self.carry_out(task, reporter)
                except Exception:
                    log.exception("operation failed", kind=work.kind)
                    await reporter.ended(_fault(task))


@dataclass(frozen=True, slots=True)
class Reporter:
    """Reports the progress and the end of one task."""

    runner: Runner
    task: Task

    async def report(self, report: Report, content: bytes | None = None) -> None:
        """Keep a report, and the catalogue that it names; nothing is told after an ENDED one."""
        contents: Mapping[str, bytes] = {}
        if content is not None and report.content is not None:
            contents = {report.content: await asyncio.to_thread(compressed, content)}
        await self.runner.store.report(self.task.work.operation_id, report, contents)
        self.runner.news.ring()

    async def ended(self, report: Report, content: bytes | None = None) -> None:
        """The last word. Safe to repeat: only the first counts."""
        await self.report(report, content)
        self.runner.progress.pop(self.task.work.operation_id, None)
        log.info("operation ended", outcome=report.outcome, code=report.code)

    async def completed(self) -> None:
        """The scale has answered to the end."""
        await self.runner.store.completed()

    def progress(self, done: int, total: int | None) -> None:
        """So many bytes are over."""
        operation_id = self.task.work.operation_id
        self.runner.progress[operation_id] = Progress(
            operation_id=operation_id, done=done, total=total
        )
        self.runner.news.ring()


def _too_late(task: Task) -> Report:
    if not task.begun:
        return _ended("failed", NOT_BEGUN)
    return _ended("unknown" if task.work.kind in SENDS else "failed", INTERRUPTED)


def _fault(task: Task) -> Report:
    return _ended("unknown" if task.work.kind in SENDS else "failed", PROGRAM_FAULT)


def _ended(outcome: str, code: str) -> Report:
    return Report(
        stage=Stage.ENDED, attempt=0, outcome=outcome, code=code, detail=sentence(code, outcome)
    )
