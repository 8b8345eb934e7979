"""The worker of a queue: it claims jobs, runs them side by side, retries and parks them."""

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final, Generic, TypeAlias

import structlog
from prometheus_client import Gauge

from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.http.hub import Hub
from libs.jobs.queue import BACKOFF, Backlog, Backoff, Key, Progress, Queue
from libs.jobs.table import AnyJob
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import is_connection_lost
from libs.process.concurrency import reraise_cancellation

JOBS: Final = "jobs"
"""The topic of the doorbell to ring after jobs or timers were put."""

IDLE_SECONDS: Final = 5.0
"""The longest sleep of a worker: a ring is lost if its process is killed after the commit."""
PAUSE_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 1.0
"""How often the progress of all running jobs is stored."""
MEASURE_SECONDS: Final = 5.0

QUEUED: Final = Gauge(
    "tillstream_jobs_queued", "Due jobs that no worker runs", ["queue"], multiprocess_mode="max"
)
OLDEST: Final = Gauge(
    "tillstream_jobs_oldest_due_seconds",
    "How long the first job has been due that no worker runs",
    ["queue"],
    multiprocess_mode="max",
)
RUNNING: Final = Gauge(
    "tillstream_jobs_running", "Jobs claimed by workers", ["queue"], multiprocess_mode="max"
)
PARKED: Final = Gauge(
    "tillstream_jobs_parked", "Jobs that failed too often", ["queue"], multiprocess_mode="max"
)

Step: TypeAlias = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


def new_holder() -> str:
    """A name for the claims of one worker."""
    return f"{socket.gethostname()} {os.getpid()} {random.getrandbits(48):012x}"


@dataclass(kw_only=True)
class Worker(Generic[AnyJob]):
    """Runs the jobs of one queue. Any number of workers, in any processes, may share a queue.

    `run_job` may raise anything: the job is tried again by the rules of `retry` and then parked.
    While a dependency is unavailable it is tried again for ever, each time its claim runs out. With
    `retry=None` `run_job` finishes and puts off its jobs itself; what it leaves is claimed again.

    At most `parallel` jobs run at once. They are claimed when one of the `topics` rings, at most
    once in `pause` seconds, when a job has ended, when one becomes due, and every `IDLE_SECONDS`.
    With `claims=False` none are.

    `on_overdue` is called with jobs past their deadline that no worker runs. When the worker stops,
    running jobs have `drain_seconds` before they are cancelled; `on_cancelled` is then called with
    each, by default it is released for other workers. `steps` are further work, each with the
    seconds between two of its runs.
    """

    name: str
    queue: Queue[AnyJob]
    run_job: Callable[[AnyJob], Awaitable[object]]
    doorbell: Doorbell
    topics: tuple[str, ...] = (JOBS,)
    clock: Clock = utc_now
    holder: str = field(default_factory=new_holder)
    retry: Backoff | None = BACKOFF
    parallel: int = 8
    pause: float = 0.01
    claims: bool = True
    drain_seconds: float = 10.0
    on_overdue: Callable[[AnyJob], Awaitable[None]] | None = None
    on_cancelled: Callable[[AnyJob], Awaitable[None]] | None = None
    steps: Sequence[tuple[Step, float]] = ()
    running: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    jobs: dict[Key, AnyJob] = field(default_factory=dict)
    backlog: Backlog | None = None
    _progress: dict[Key, Progress] = field(default_factory=dict)
    _measured_at: float = float("-inf")

    def progress(self, job: AnyJob, done: int, total: int | None) -> None:
        """Report that `done` of `total` units of a running job are done; stored once a second."""
        key = self.queue.key_of(job)
        if key in self.running:
            self._progress[key] = Progress(done, total)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, also through outages of the database."""
        steps = [*self.steps]
        if self.on_overdue is not None:
            steps.append((partial(self._sweep, self.on_overdue), SWEEP_SECONDS))
        if self.claims:
            steps.append((self._renew, self.queue.seconds / 4))
            steps.append((self._save_progress, PROGRESS_SECONDS))
        loops = [repeat(step, partial(asyncio.sleep, seconds)) for step, seconds in steps]
        hub = Hub(self.doorbell, *self.topics, pause=self.pause, idle=IDLE_SECONDS)
        if self.claims:
            loops.append(self._claim_jobs(hub))
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            await stop.wait()
        finally:
            hub.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._drain()

    async def _claim_jobs(self, hub: Hub) -> None:
        known, due = hub.round, IDLE_SECONDS

        async def claim() -> None:
            nonlocal known, due
            # A ring from now on starts another round.
            known, due = hub.round, IDLE_SECONDS
            await self._claim(hub)
            due = await self._seconds_until_due()
            await self._measure()

        async def until_due() -> None:
            await hub.wait(known, due)

        await repeat(claim, until_due)

    async def _seconds_until_due(self) -> float:
        if len(self.running) >= self.parallel:
            # The end of a job starts a round.
            return IDLE_SECONDS
        due = await self.queue.seconds_until_due(self.clock())
        return IDLE_SECONDS if due is None else max(self.pause, min(due, IDLE_SECONDS))

    async def _claim(self, hub: Hub) -> None:
        room = self.parallel - len(self.running)
        if room <= 0:
            return
        for job in await self.queue.claim(self.holder, self.clock(), limit=room):
            if self.queue.key_of(job) not in self.running:
                self._start(job, hub)

    def _start(self, job: AnyJob, hub: Hub) -> None:
        key = self.queue.key_of(job)
        self.jobs[key] = job
        running = asyncio.create_task(self._run(job), name=f"{self.name} {key[-1]}")
        self.running[key] = running

        def forget(done: asyncio.Task[None]) -> None:
            for known in (self.running, self.jobs, self._progress):
                known.pop(key, None)
            hub.begin_round()
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("job failed", queue=self.name, job=str(key[-1]), exc_info=error)

        running.add_done_callback(forget)

    async def _run(self, job: AnyJob) -> None:
        if self.retry is None:
            await self.run_job(job)
            return
        try:
            await self.run_job(job)
            await self.queue.finish(job)
        except Exception as error:  # noqa: BLE001 -- a job may raise anything
            reraise_cancellation(error)
            await self._fail(job, error, self.retry)

    async def _fail(self, job: AnyJob, error: Exception, retry: Backoff) -> None:
        parked, text = None, f"{type(error).__name__}: {error}"
        if not (isinstance(error, Unavailable | ConnectionError) or is_connection_lost(error)):
            parked = await self.queue.fail(self.holder, job, text, retry, self.clock())
            self._measured_at = float("-inf")
        key = str(self.queue.key_of(job)[-1])
        log.warning("job failed", queue=self.name, job=key, error=text, parked=parked)

    async def _save_progress(self) -> None:
        progress, self._progress = self._progress, {}
        await self.queue.save_progress(self.holder, progress)

    async def _renew(self) -> None:
        await self.queue.renew(self.holder, list(self.running))

    async def _sweep(self, on_overdue: Callable[[AnyJob], Awaitable[None]]) -> None:
        for job in await self.queue.claim_overdue(self.holder, self.clock(), limit=self.parallel):
            if self.queue.key_of(job) not in self.running:
                await on_overdue(job)

    async def _measure(self) -> None:
        if monotonic() < self._measured_at + MEASURE_SECONDS:
            return
        self._measured_at = monotonic()
        self.backlog = backlog = await self.queue.backlog(self.clock())
        QUEUED.labels(self.name).set(backlog.queued)
        OLDEST.labels(self.name).set(backlog.oldest_seconds)
        RUNNING.labels(self.name).set(backlog.claimed)
        PARKED.labels(self.name).set(backlog.parked)

    async def _drain(self) -> None:
        left = list(self.running.values())
        if left:
            await asyncio.wait(left, timeout=self.drain_seconds)
        jobs = list(self.jobs.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for job in jobs:
            try:
                await (self.on_cancelled or self._release)(job)
            except Unavailable:
                # The claim runs out.
                log.warning("job not released", queue=self.name, job=str(self.queue.key_of(job)))

    async def _release(self, job: AnyJob) -> None:
        await self.queue.release(self.holder, job)


async def repeat(step: Step, pause: Step) -> None:
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
