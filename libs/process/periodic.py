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


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorbellTrigger:
    """Starts the next run when a topic rings.

    Without a ring the next run starts after the seconds that the last run returned, at most
    `longest`. While rings of other processes do not arrive, the job runs at its own period.
    """

    doorbell: Doorbell
    topic: str
    longest: float

    def idle(self, due: object) -> float:
        """How long to wait for a ring, in seconds, after a run that returned `due`."""
        if not self.doorbell.is_listening:
            return 0.0
        return min(due, self.longest) if isinstance(due, float) else self.longest


def periodic(
    name: str, job: Job, *, seconds: float, trigger: DoorbellTrigger | None = None
) -> Task:
    """A task that runs `job` every so many seconds until it is stopped.

    With a `trigger`, runs are at least `seconds` apart, and the job rests while nothing rings and
    nothing is due: it returns the seconds until something is due, or None. A run that fails is
    logged, and the next one starts after a growing pause. A run in progress is finished when the
    task is stopped.
    """

    async def run(stop: asyncio.Event) -> None:
        pause, woken = seconds, asyncio.Event()
        remove = trigger.doorbell.add_listener(woken.set, trigger.topic) if trigger else None
        try:
            while not stop.is_set():
                woken.clear()
                due, pause = await _run_once(name, job, pause, seconds)
                idle = trigger.idle(due) - pause if trigger and pause == seconds else 0.0
                if not await wait(stop, pause) and idle > 0:
                    await wait_for_either(stop, woken, idle)
        finally:
            if remove is not None:
                remove()

    return run


async def _run_once(name: str, job: Job, pause: float, seconds: float) -> tuple[object, float]:
    """The job's result, None if it failed, and the shortest pause before the next run."""
    try:
        return await job(), seconds
    except Exception as error:  # noqa: BLE001 -- whatever it was, there is a next run
        reraise_cancellation(error)
        pause = min(max(pause, seconds) * 2, max(LAST_BACKOFF, seconds))
        away = isinstance(error, Unavailable) or is_connection_lost(error)
        write = log.warning if away else log.exception
        write("periodic job failed", job=name, error=type(error).__name__, retry_in=pause)
        return None, pause
