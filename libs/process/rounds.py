"""Work that is looked for again and again, whatever became of it the last time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from libs.errors import Unavailable
from libs.postgres.pool import is_lost
from libs.process.lifecycle import Task

LAST_BACKOFF: Final = 30.0

log = structlog.get_logger(__name__)


def rounds(name: str, turn: Callable[[], Awaitable[object]], *, seconds: float) -> Task:
    """A task that takes a turn every so many seconds until it is stopped.

    A turn that fails is told to the log, and the next comes later and later, but comes. The turn
    under way when it is stopped is finished.
    """

    async def go_round(stop: asyncio.Event) -> None:
        pause = seconds
        while not stop.is_set():
            try:
                await turn()
                pause = seconds
            except Exception as error:  # noqa: BLE001 -- whatever it was, there is a next turn
                pause = min(max(pause, seconds) * 2, max(LAST_BACKOFF, seconds))
                away = isinstance(error, Unavailable) or is_lost(error)
                tell = log.warning if away else log.exception
                tell("round failed", round=name, error=type(error).__name__, retry_in=pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()

    return go_round
