"""A semaphore whose holders weigh differently: for work that takes memory by the byte."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """At most `capacity` is held at a time, in order of arrival. For one event loop.

    What weighs more than the capacity is held alone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, weight: int) -> AsyncIterator[None]:
        """Hold `weight` of it while the block runs."""
        weight = min(weight, self._capacity)
        await self._acquire(weight)
        try:
            yield
        finally:
            self._held -= weight
            self._admit()

    async def _acquire(self, weight: int) -> None:
        if not self._waiting and self._held + weight <= self._capacity:
            self._held += weight
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._held -= weight
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting:
            weight, turn = self._waiting[0]
            if not turn.done():
                if self._held + weight > self._capacity:
                    return
                self._held += weight
                turn.set_result(None)
            self._waiting.popleft()
