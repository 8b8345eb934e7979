"""A semaphore with weights, for work whose memory is limited in bytes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """At most `capacity` is held at a time, in order of arrival. For one event loop.

    A weight above the capacity counts as the capacity, so its holder is alone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, weight: int) -> AsyncIterator[None]:
        """Hold `weight` of the capacity while the block runs."""
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
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._held -= weight
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting:
            weight, waiter = self._waiting[0]
            if not waiter.done():
                if self._held + weight > self._capacity:
                    return
                self._held += weight
                waiter.set_result(None)
            self._waiting.popleft()
