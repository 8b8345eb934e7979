"""Waiting writes share one transaction: whoever comes while one commits goes with the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from libs.failpoints import reach

Request = TypeVar("Request")
Result = TypeVar("Result")
Write: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]]


@dataclass(frozen=True, slots=True)
class Weight:
    """How much of the database a request takes: rows, and bytes of data."""

    rows: int
    bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one statement may write, and what may wait for it; each holds one request at least."""

    group_rows: int = 2000
    group_bytes: int = 8 * 1024 * 1024
    waiting_requests: int = 4000
    waiting_bytes: int = 32 * 1024 * 1024


LIMITS: Final = Limits()


@dataclass(slots=True)
class _Member(Generic[Request, Result]):
    request: Request
    weight: Weight
    outcome: "asyncio.Future[Result]"


class GroupCommit(Generic[Request, Result]):
    """A queue before one writer.

    `write` gets the requests of a group and answers a result or an exception for each, in order.
    Submitting waits, in turn, while the queue is full: that is the backpressure. A request takes
    its room until it is written, whether its caller still waits or not.
    """

    def __init__(
        self,
        write: Write[Request, Result],
        weight: Callable[[Request], Weight],
        limits: Limits = LIMITS,
    ) -> None:
        self._write = write
        self._weight = weight
        self._limits = limits
        self._waiting: deque[_Member[Request, Result]] = deque()
        self._room = _Room(limits.waiting_requests, limits.waiting_bytes)
        self._drain: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """Wait until `request` is written; raises what the writer says of it.

        A cancelled caller may find its request written all the same.
        """
        weight = self._weight(request)
        await self._room.enter(weight.bytes)
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Member(request, weight, outcome))
        if self._drain is None:
            # An empty context: a group belongs to no single request's trace.
            self._drain = asyncio.create_task(
                self._drain_all(), name="group-commit", context=Context()
            )
        return await outcome

    async def flush(self) -> None:
        """Wait until everything submitted so far is written."""
        while self._drain is not None:
            await asyncio.shield(self._drain)

    async def _drain_all(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                try:
                    await self._commit(group)
                finally:
                    for member in group:
                        self._room.leave(member.weight.bytes)
        finally:
            self._drain = None
            # Only when the process gives up: nobody will write these any more.
            for member in self._waiting:
                member.outcome.cancel()
                self._room.leave(member.weight.bytes)
            self._waiting.clear()

    def _next_group(self) -> list[_Member[Request, Result]]:
        group = [self._waiting.popleft()]
        rows, size = group[0].weight.rows, group[0].weight.bytes
        while self._waiting:
            weight = self._waiting[0].weight
            rows, size = rows + weight.rows, size + weight.bytes
            if rows > self._limits.group_rows or size > self._limits.group_bytes:
                break
            group.append(self._waiting.popleft())
        return group

    async def _commit(self, group: list[_Member[Request, Result]]) -> None:
        try:
            reach("group-writing")
            outcomes = await self._write([member.request for member in group])
            reach("group-written")
            told = list(zip(group, outcomes, strict=True))
        except Exception as error:  # noqa: BLE001 -- every waiting caller must hear of it
            told = [(member, error) for member in group]
        except BaseException:
            for member in group:
                member.outcome.cancel()
            raise
        for member, outcome in told:
            if member.outcome.done():
                continue
            if isinstance(outcome, Exception):
                member.outcome.set_exception(outcome)
            else:
                member.outcome.set_result(outcome)


class _Room:
    """Room for so many requests and bytes, given in the order of asking."""

    def __init__(self, requests: int, size: int) -> None:
        self._requests, self._bytes = requests, size
        self._inside = self._size = 0
        self._outside: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> None:
        """Wait for room. What is larger than all of it enters when nothing else is inside."""
        if not self._outside and self._has_room(size):
            self._take(size)
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside.append((size, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.leave(size)
            else:
                self._admit()
            raise

    def leave(self, size: int) -> None:
        """Give the room of a request back."""
        self._inside -= 1
        self._size -= size
        self._admit()

    def _admit(self) -> None:
        while self._outside:
            size, admitted = self._outside[0]
            if not admitted.done():
                if not self._has_room(size):
                    return
                self._take(size)
                admitted.set_result(None)
            self._outside.popleft()

    def _has_room(self, size: int) -> bool:
        fits = self._inside < self._requests and self._size + size <= self._bytes
        return fits or not self._inside

    def _take(self, size: int) -> None:
        self._inside += 1
        self._size += size
