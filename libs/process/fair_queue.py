"""A few workers for many callers: the source that asks for the most waits the longest.

Callers are grouped by their source, a network address for example, and the sources take turns.
So a crowd at one source makes the others wait for one of its callers, not for all of them.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from libs.errors import TooManyRequests, Unavailable

TRUSTED_SHARE: Final = 3
"""So many of four turns are for trusted sources while others wait as well."""

Waiter: TypeAlias = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Source:
    """Whose work it is. Those that are `trusted` queue apart from those that are not."""

    name: str
    trusted: bool = False


class FairQueue:
    """Lets `parallel` callers work at a time. To be used from one event loop.

    `waiting` more may wait in each of two lines, of trusted sources and of others, and
    `per_source` of one source, for `patience_seconds` each. A line that is full gives up the last
    waiter of its largest source for a caller of a smaller one. `what` names it in `Unavailable`.
    """

    def __init__(
        self, what: str, *, parallel: int, waiting: int, per_source: int, patience_seconds: float
    ) -> None:
        self._what = what
        self._free = parallel
        self._room = waiting
        self._per_source = per_source
        self._patience = patience_seconds
        self._lines = {trusted: _Line() for trusted in (True, False)}
        self._turns = 0

    @property
    def size(self) -> int:
        """How many wait."""
        return sum(line.size for line in self._lines.values())

    async def acquire(self, source: Source) -> None:
        """Wait for a turn; `release` must follow.

        Raises TooManyRequests if too many of this source wait, Unavailable if too many do
        altogether or for too long.
        """
        if self._free:
            self._free -= 1
            return
        line = self._lines[source.trusted]
        waiter = self._enter(line, source.name)
        try:
            async with asyncio.timeout(self._patience):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # The turn came together with the end of the waiting.
                self.release()
            line.leave(source.name, waiter)
            if isinstance(error, TimeoutError):
                raise Unavailable(self._what) from error
            raise

    def release(self) -> None:
        """The work is done: the next one's turn."""
        for line in self._lines_in_turn():
            while (waiter := line.next()) is not None:
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._free += 1

    def _enter(self, line: "_Line", name: str) -> Waiter:
        mine = line.size_of(name)
        if mine >= self._per_source:
            raise TooManyRequests(retry_after_seconds=1)
        if line.size >= self._room:
            largest = line.largest()
            if largest is None or line.size_of(largest) <= mine + 1:
                raise Unavailable(self._what)
            line.drop_last(largest)
        return line.enter(name)

    def _lines_in_turn(self) -> tuple["_Line", "_Line"]:
        self._turns = (self._turns + 1) % (TRUSTED_SHARE + 1)
        first = self._turns != 0
        return self._lines[first], self._lines[not first]


@dataclass(slots=True)
class _Line:
    """The callers that wait, by source; the source at the front is next."""

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
