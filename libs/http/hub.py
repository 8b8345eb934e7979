"""Wakes streams, sockets and long polls of this process when they must read the database anew."""

import asyncio
from contextlib import suppress
from typing import Final

from libs.postgres.doorbell import Doorbell

DEAF_SECONDS: Final = 1.0
"""Seconds between two rounds while rings of other processes do not arrive."""


class Hub:
    """Numbers the rounds in which waiters read the database.

    A ring of one of the topics begins a round at once, or `pause` seconds after the last one began.
    Without a ring a waiter is woken after `idle` seconds, for a ring may be lost. A hub costs
    nothing while nothing rings. Close it if the doorbell outlives it.
    """

    def __init__(self, doorbell: Doorbell, *topics: str, pause: float, idle: float) -> None:
        self._doorbell = doorbell
        self._pause = pause
        self._idle = idle
        self._began_at = float("-inf")
        self._beginning: asyncio.TimerHandle | None = None
        self._began = asyncio.Event()
        self.round = 0
        self.close = doorbell.add_listener(self.begin_round, *topics)

    async def wait(self, known: int, seconds: float | None = None) -> int:
        """Wait until the round is another than `known`, or a ring may have been lost; the present
        round.

        `seconds` bounds the wait further. `known` is the `round` before the last reading.
        """
        if self.round == known:
            longest = self._idle if self._doorbell.is_listening else min(self._idle, DEAF_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(longest if seconds is None else min(seconds, longest)):
                    await self._began.wait()
        return self.round

    def begin_round(self) -> None:
        """Wake the waiters, as after a ring."""
        if self._beginning is None:
            loop = asyncio.get_running_loop()
            due = max(self._began_at + self._pause, loop.time())
            self._beginning = loop.call_at(due, self._begin)

    def _begin(self) -> None:
        self._beginning, self._began_at = None, asyncio.get_running_loop().time()
        self.round += 1
        self._began.set()
        self._began = asyncio.Event()
