"""Waiting writes share one transaction: whoever comes while one commits goes with the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeAlias, TypeVar

from libs.failpoints import reach

Request = TypeVar("Request")
Result = TypeVar("Result")
Write: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]]


class GroupCommit(Generic[Request, Result]):
    """A queue before one writer.

    `write` gets the requests of a group and answers a result or an exception for each, in order.
    A group holds as many waiting requests as weigh at most `max_weight` together, at least one.
    Submitting waits while more than `max_waiting` requests are queued: that is the backpressure.
    """

    def __init__(
        self,
        write: Write[Request, Result],
        weight: Callable[[Request], int],
        *,
        max_weight: int = 2000,
        max_waiting: int = 4000,
    ) -> None:
        self._write = write
        self._weight = weight
        self._max_weight = max_weight
        self._waiting: deque[tuple[Request, asyncio.Future[Result]]] = deque()
        self._room = asyncio.Semaphore(max_waiting)
        self._drain: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """Wait until `request` is written; raises what the writer says of it.

        A cancelled caller may find its request written all the same.
        """
        async with self._room:
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting.append((request, future))
            if self._drain is None:
                # An empty context: a group belongs to no single request's trace.
                self._drain = asyncio.create_task(
                    self._drain_all(), name="group-commit", context=Context()
                )
            return await future

    async def settle(self) -> None:
        """Wait until everything submitted so far is written."""
        while self._drain is not None:
            await asyncio.shield(self._drain)

    async def _drain_all(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._next_group())
        finally:
            self._drain = None
            # Only when the process gives up: nobody will write these any more.
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _next_group(self) -> list[tuple[Request, asyncio.Future[Result]]]:
        group, weight = [self._waiting.popleft()], 0
        weight += self._weight(group[0][0])
        while self._waiting and weight + self._weight(self._waiting[0][0]) <= self._max_weight:
            group.append(self._waiting.popleft())
            weight += self._weight(group[-1][0])
        return group

    async def _commit(self, group: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        try:
            reach("group-writing")
            outcomes = await self._write([request for request, _ in group])
            reach("group-written")
            told = list(zip(group, outcomes, strict=True))
        except Exception as error:  # noqa: BLE001 -- every waiting caller must hear of it
            told = [(one, error) for one in group]
        except BaseException:
            for _, future in group:
                future.cancel()
            raise
        for (_, future), outcome in told:
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
