"""A fair queue: a limited number of callers work at a time, and sources are served in turn.

Callers are grouped by source, for example a network address. Many callers of one source delay the
callers of another source by one caller at a time, not by all of them.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from libs.errors import TooManyRequests, Unavailable

TRUSTED_SHARE: Final = 3
"""Of four callers, this many are from trusted sources while both kinds wait."""

Waiter: TypeAlias = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a call. Trusted sources queue separately from the others."""

    name: str
    trusted: bool = False


class FairQueue:
    """Lets `parallel` callers work at a time. For one event loop.

    There are two lines, for trusted sources and for the others. At most `max_waiting` callers wait
    in each line, at most `per_source` of one source, each for at most `timeout_seconds`. A full
    line drops the last waiter of its largest source for a caller of a smaller source. `name` stands
    in `Unavailable`.
    """

    def __init__(
        self,
        name: str,
        *,
        parallel: int,
        max_waiting: int,
        per_source: int,
        timeout_seconds: float,
    ) -> None:
        self._name = name
        self._free = parallel
        self._max_waiting = max_waiting
        self._per_source = per_source
        self._timeout = timeout_seconds
        self._lines = {trusted: _Line() for trusted in (True, False)}
        self._served = 0

    @property
    def size(self) -> int:
        """The number of waiting callers."""
        return sum(line.size for line in self._lines.values())

    async def acquire(self, source: Source) -> None:
        """Wait for permission to work; `release` must follow.

        Raises TooManyRequests if too many callers of this source wait, Unavailable if the line is
        full or the wait takes too long.
        """
        if self._free:
            self._free -= 1
            return
        line = self._lines[source.trusted]
        waiter = self._enter(line, source.name)
        try:
            async with asyncio.timeout(self._timeout):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Permission was given at the moment the wait ended.
                self.release()
            line.leave(source.name, waiter)
            if isinstance(error, TimeoutError):
                raise Unavailable(self._name) from error
            raise

    def release(self) -> None:
        """End one caller's work and let the next one begin."""
        for line in self._lines_in_order():
            while (waiter := line.next()) is not None:
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._free += 1

    def _enter(self, line: "_Line", name: str) -> Waiter:
        queued = line.size_of(name)
        if queued >= self._per_source:
            raise TooManyRequests(retry_after_seconds=1)
        if line.size >= self._max_waiting:
            largest = line.largest()
            if largest is None or line.size_of(largest) <= queued + 1:
                raise Unavailable(self._name)
            line.drop_last(largest)
        return line.enter(name)

    def _lines_in_order(self) -> tuple["_Line", "_Line"]:
        self._served = (self._served + 1) % (TRUSTED_SHARE + 1)
        trusted_first = self._served != 0
        return self._lines[trusted_first], self._lines[not trusted_first]


@dataclass(slots=True)
class _Line:
    """Waiting callers by source; the source at the front is next."""

    size: int = 0
    _waiters: OrderedDict[str, deque[Waiter]] = field(default_factory=OrderedDict)

    def size_of(self, name: str) -> int:
        return len(self._waiters.get(name, ()))

    def largest(self) -> str | None:
        return max(self._waiters, key=self.size_of, default=None)

    def enter(self, name: str) -> Waiter:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, deque()).append(waiter)
        self.size += 1
        return waiter

    def next(self) -> Waiter | None:
        if not self._waiters:
            return None
        name, waiters = self._waiters.popitem(last=False)
        waiter = waiters.popleft()
        self.size -= 1
        if waiters:
            self._waiters[name] = waiters
        return waiter

    def drop_last(self, name: str) -> None:
        waiter = self._waiters[name][-1]
        self.leave(name, waiter)
        if not waiter.done():
            waiter.set_exception(TooManyRequests(retry_after_seconds=1))

    def leave(self, name: str, waiter: Waiter) -> None:
        waiters = self._waiters.get(name, deque())
        if waiter not in waiters:
            return
        waiters.remove(waiter)
        self.size -= 1
        if not waiters:
            del self._waiters[name]
