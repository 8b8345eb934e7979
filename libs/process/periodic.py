"""Background jobs that run again and again, whatever became of the last run."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from libs.errors import Unavailable
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import is_connection_lost
from libs.process.concurrency import reraise_cancellation, wait, wait_for_either
from libs.process.lifecycle import Task

LAST_BACKOFF: Final = 30.0

Job: TypeAlias = Callable[[], Awaitable[object]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that runs every so many seconds.

    With a `topic` of the doorbell, runs are at least `seconds` apart, and the job rests while the
    topic does not ring and nothing is due: `run` returns the seconds until something is due, or
    None. It rests at most `longest` seconds, since a ring may be lost.
    """

    name: str
    run: Job
    seconds: float
    topic: str | None = None
    longest: float = 0.0

    def rest(self, doorbell: Doorbell, due: object) -> float:
        """How long to wait for a ring, in seconds, after a run that returned `due`.

        While rings of other processes do not arrive, the job runs at its own period.
        """
        if not doorbell.is_listening:
            return 0.0
        return min(due, self.longest) if isinstance(due, float) else self.longest


def task_of(job: Periodic, doorbell: Doorbell) -> Task:
    """A task that runs a job until it is stopped; a run in progress is finished.

    A run that fails is logged, and the next one starts after a growing pause.
    """

    async def run(stop: asyncio.Event) -> None:
        pause, woken = job.seconds, asyncio.Event()
        topics = [] if job.topic is None else [job.topic]
        remove = doorbell.add_listener(woken.set, *topics)
        try:
            while not stop.is_set():
                woken.clear()
                due, pause = await _run_once(job, pause)
                rests = topics and pause == job.seconds
                idle = job.rest(doorbell, due) - pause if rests else 0.0
                if not await wait(stop, pause) and idle > 0:
                    await wait_for_either(stop, woken, idle)
        finally:
            remove()

    return run


async def _run_once(job: Periodic, pause: float) -> tuple[object, float]:
    """The job's result, None if it failed, and the shortest pause before the next run."""
    try:
        return await job.run(), job.seconds
    except Exception as error:  # noqa: BLE001 -- whatever it was, there is a next run
        reraise_cancellation(error)
        pause = min(max(pause, job.seconds) * 2, max(LAST_BACKOFF, job.seconds))
        away = isinstance(error, Unavailable) or is_connection_lost(error)
        write = log.warning if away else log.exception
        write("periodic job failed", job=job.name, error=type(error).__name__, retry_in=pause)
        return None, pause
