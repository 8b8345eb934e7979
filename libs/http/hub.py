"""Wakes the streams, sockets and long polls of this process when they must read the database."""

import asyncio
from contextlib import suppress
from typing import Final

from libs.postgres.doorbell import Doorbell

DEAF_SECONDS: Final = 1.0
"""Seconds between two rounds while the doorbell does not receive rings of other processes."""


class Hub:
    """Numbers the rounds in which waiters read the database.

    A ring of one of the topics starts a round at once, or `pause` seconds after the start of the
    last one. Without a ring a waiter is woken after `idle` seconds, since a ring may be lost. A hub
    costs nothing while there are no rings. Close it if the doorbell outlives it.
    """

    def __init__(self, doorbell: Doorbell, *topics: str, pause: float, idle: float) -> None:
        self._doorbell = doorbell
        self._pause = pause
        self._idle = idle
        self._started_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._started = asyncio.Event()
        self.round = 0
        self.close = doorbell.add_listener(self.begin_round, *topics)

    async def wait(self, known: int, seconds: float | None = None) -> int:
        """Wait until the round is not `known` or `idle` seconds have passed; the present round.

        `known` is the `round` before the last reading. `seconds` limits the wait further.
        """
        if self.round == known:
            longest = self._idle if self._doorbell.is_listening else min(self._idle, DEAF_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(longest if seconds is None else min(seconds, longest)):
                    await self._started.wait()
        return self.round

    def begin_round(self) -> None:
        """Start a round as after a ring."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due = max(self._started_at + self._pause, loop.time())
            self._timer = loop.call_at(due, self._begin)

    def _begin(self) -> None:
        self._timer, self._started_at = None, asyncio.get_running_loop().time()
        self.round += 1
        self._started.set()
        self._started = asyncio.Event()
