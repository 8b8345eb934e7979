"""A semaphore with weights, for work that is limited in bytes or in several measures at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import add, sub


class WeightedSemaphore:
    """Of each measure at most its capacity is held at a time, in order of arrival.

    The holder of a weight above the capacity is alone. For one event loop.
    """

    def __init__(self, *capacities: int) -> None:
        self._capacities = capacities
        self._free = capacities
        self._waiting: deque[tuple[tuple[int, ...], asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, *weights: int) -> AsyncIterator[None]:
        """Hold a weight of each measure while the block runs."""
        await self.acquire(*weights)
        try:
            yield
        finally:
            self.release(*weights)

    async def acquire(self, *weights: int) -> None:
        """Wait for a weight of each measure; `release` with the same weights must follow."""
        if not self._waiting and self._take(weights):
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((weights, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.release(*weights)
            else:
                self._admit()
            raise

    def release(self, *weights: int) -> None:
        """Give back what was acquired."""
        self._free = tuple(map(add, self._free, weights))
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            weights, admitted = self._waiting[0]
            if not admitted.done():
                if not self._take(weights):
                    return
                admitted.set_result(None)
            self._waiting.popleft()

    def _take(self, weights: tuple[int, ...]) -> bool:
        """Take the weights, if all of them are free or nothing is held."""
        free = tuple(map(sub, self._free, weights))
        fits = min(free) >= 0 or self._free == self._capacities
        if fits:
            self._free = free
        return fits
