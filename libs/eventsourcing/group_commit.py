"""Group commit: requests that arrive during a commit are written together by the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from libs.failpoints import failpoint
from libs.process.weighted_semaphore import WeightedSemaphore

Request = TypeVar("Request")
Result = TypeVar("Result")
Write: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[Result | Exception]]]


@dataclass(frozen=True, slots=True)
class Weight:
    """The size of a request in rows and in bytes of data."""

    rows: int
    bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of a group and of the queue. Each admits at least one request, however large."""

    group_rows: int = 2000
    group_bytes: int = 8 * 1024 * 1024
    queued_requests: int = 4000
    queued_bytes: int = 32 * 1024 * 1024


LIMITS: Final = Limits()


@dataclass(slots=True)
class _Member(Generic[Request, Result]):
    request: Request
    weight: Weight
    outcome: "asyncio.Future[Result]"


class GroupCommit(Generic[Request, Result]):
    """A queue in front of one writer.

    `write` gets the requests of a group and returns a result or an exception for each, in order.
    While the queue is full, `submit` waits (first come, first served), which is the backpressure. A
    request counts until it is written, even if its caller was cancelled.
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
        self._queue: deque[_Member[Request, Result]] = deque()
        self._capacity = WeightedSemaphore(limits.queued_requests, limits.queued_bytes)
        self._drain: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """Wait until `request` is written; raises the exception that the writer returns for it.

        If the caller is cancelled, the request may still be written.
        """
        weight = self._weight(request)
        await self._capacity.acquire(1, weight.bytes)
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append(_Member(request, weight, outcome))
        if self._drain is None:
            # In an empty context: a group does not belong to the trace of one request.
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
            while self._queue:
                group = self._next_group()
                try:
                    await self._commit(group)
                finally:
                    for member in group:
                        self._capacity.release(1, member.weight.bytes)
        finally:
            self._drain = None
            # Not empty only if this task was cancelled: these will not be written.
            for member in self._queue:
                member.outcome.cancel()
                self._capacity.release(1, member.weight.bytes)
            self._queue.clear()

    def _next_group(self) -> list[_Member[Request, Result]]:
        group = [self._queue.popleft()]
        rows, size = group[0].weight.rows, group[0].weight.bytes
        while self._queue:
            weight = self._queue[0].weight
            rows, size = rows + weight.rows, size + weight.bytes
            if rows > self._limits.group_rows or size > self._limits.group_bytes:
                break
            group.append(self._queue.popleft())
        return group

    async def _commit(self, group: list[_Member[Request, Result]]) -> None:
        try:
            failpoint("group-writing")
            outcomes = await self._write([member.request for member in group])
            failpoint("group-written")
            answered = list(zip(group, outcomes, strict=True))
        except Exception as error:  # noqa: BLE001 -- it is raised to every caller
            answered = [(member, error) for member in group]
        except BaseException:
            for member in group:
                member.outcome.cancel()
            raise
        for member, outcome in answered:
            if member.outcome.done():
                continue
            if isinstance(outcome, Exception):
                member.outcome.set_exception(outcome)
            else:
                member.outcome.set_result(outcome)
