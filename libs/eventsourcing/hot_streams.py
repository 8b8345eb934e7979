"""Streams that many commands of a process use at once: a queue in front of each, and its state."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from libs.errors import Unavailable
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.plan import Head

MAX_QUEUED: Final = 2000
"""Commands of a process that use or wait for one stream."""
MAX_STATES: Final = 2000
"""Streams whose state is cached."""
YIELD_AFTER: Final = 8
"""Commands of a process on one stream, after which it lets other processes go first."""


class StreamsBusy(Unavailable):
    """Too many commands use one of the streams. Nothing was appended; safe to repeat."""

    def __init__(self) -> None:
        super().__init__("stream", retry_after_seconds=1)


@dataclass(frozen=True, slots=True)
class CachedState:
    """The state of a stream at a version. A log may have later events."""

    state: Any
    version: int


@dataclass(slots=True)
class _Entry:
    aggregate: Decider[Any, Any, Any]
    state: CachedState
    commands: int = 0


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    size: int = 0


class HotStreams:
    """The queues and the cached states of the streams of one store. For one event loop.

    `max_queued` commands may use or wait for one stream, first come, first served. `max_states` is
    the number of states cached, of the streams that were used last.
    """

    def __init__(self, *, max_queued: int = MAX_QUEUED, max_states: int = MAX_STATES) -> None:
        self._max_queued = max_queued
        self._max_states = max_states
        self._queues: dict[Head, _Queue] = {}
        self._states: OrderedDict[Head, _Entry] = OrderedDict()

    @asynccontextmanager
    async def hold(self, heads: Iterable[Head]) -> AsyncIterator[None]:
        """Wait for the streams, in the order of their names, and hold them.

        Raises StreamsBusy at once if too many commands wait for one of them.
        """
        ordered = sorted(heads)
        if any(self._queued(head) >= self._max_queued for head in ordered):
            raise StreamsBusy
        queues = [self._queues.setdefault(head, _Queue()) for head in ordered]
        for queue in queues:
            queue.size += 1
        try:
            async with AsyncExitStack() as held:
                for queue in queues:
                    # An asyncio lock is fair. All wait in one order, so that none deadlock.
                    await held.enter_async_context(queue.lock)
                yield
        finally:
            for head, queue in zip(ordered, queues, strict=True):
                queue.size -= 1
                if not queue.size:
                    del self._queues[head]

    def state(self, aggregate: Decider[Any, Any, Any], head: Head) -> CachedState | None:
        """The cached state of a stream, if it was folded by this aggregate."""
        entry = self._states.get(head)
        if entry is None or entry.aggregate is not aggregate:
            return None
        self._states.move_to_end(head)
        return entry.state

    def remember(self, aggregate: Decider[Any, Any, Any], head: Head, state: CachedState) -> None:
        """Cache the state of a stream. It must be immutable."""
        entry = self._states.setdefault(head, _Entry(aggregate, state))
        entry.aggregate, entry.state = aggregate, state
        self._states.move_to_end(head)
        if len(self._states) > self._max_states:
            self._states.popitem(last=False)

    def must_yield(self, heads: Iterable[Head]) -> bool:
        """Whether the next command on these streams must let other processes go first.

        A process that decides on cached states would always be faster than one that has to read.
        """
        entries = [self._states[head] for head in heads if head in self._states]
        for entry in entries:
            entry.commands += 1
        if all(entry.commands <= YIELD_AFTER for entry in entries):
            return False
        for entry in entries:
            entry.commands = 0
        return True

    def _queued(self, head: Head) -> int:
        return self._queues[head].size if head in self._queues else 0
