"""Work that is looked for again and again, whatever became of it the last time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from libs.errors import Unavailable
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import is_lost
from libs.process.lifecycle import Task
from libs.process.waiting import insist_on_cancellation, wait, wait_for_either

LAST_BACKOFF: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A ring of a topic begins the next turn. Without a ring, and while rings of other processes
    arrive, it begins at the time that the last turn returned, at most `longest` seconds later.
    """

    doorbell: Doorbell
    topic: str
    longest: float

    def idle(self, due: object) -> float:
        """How long to wait for a ring, in seconds, after a turn that returned `due`."""
        if not self.doorbell.is_listening:
            return 0.0
        return min(due, self.longest) if isinstance(due, float) else self.longest


def rounds(
    name: str, turn: Callable[[], Awaitable[object]], *, seconds: float, rung: Rung | None = None
) -> Task:
    """A task that takes a turn every so many seconds until it is stopped.

    With `rung` turns are at least so far apart, and there is none while nothing rings and nothing
    is due: the turn returns in how many seconds that is, None if never by time alone. A turn that
    fails is logged, and the next one begins after a growing pause. The turn under way when the task
    is stopped is finished.
    """

    async def go_round(stop: asyncio.Event) -> None:
        pause, woken = seconds, asyncio.Event()
        remove = rung.doorbell.add_listener(woken.set, rung.topic) if rung else None
        try:
            while not stop.is_set():
                woken.clear()
                due, pause = await _take(name, turn, pause, seconds)
                idle = rung.idle(due) - pause if rung and pause == seconds else 0.0
                if not await wait(stop, pause) and idle > 0:
                    await wait_for_either(stop, woken, idle)
        finally:
            if remove is not None:
                remove()

    return go_round


async def _take(
    name: str, turn: Callable[[], Awaitable[object]], pause: float, seconds: float
) -> tuple[object, float]:
    """What the turn returned, and how long to wait at least before the next."""
    try:
        return await turn(), seconds
    except Exception as error:  # noqa: BLE001 -- whatever it was, there is a next turn
        insist_on_cancellation(error)
        pause = min(max(pause, seconds) * 2, max(LAST_BACKOFF, seconds))
        away = isinstance(error, Unavailable) or is_lost(error)
        tell = log.warning if away else log.exception
        tell("round failed", round=name, error=type(error).__name__, retry_in=pause)
        return None, pause
