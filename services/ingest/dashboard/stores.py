"""The cache of `as_of` queries, in memory and bounded in days and bytes.

For some days it holds their timeline and, every `step` events, the rows of the read models after
these events. So another instant of the same days costs the nearest rows before it and the events
between. Entries expire when they are not used.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from libs.eventsourcing.snapshot import Snapshot
from services.ingest.dashboard.read_models.timeline import Timeline
from services.ingest.scans.domain.day import Days

STEP: Final = 8192
"""Events from one cached state to the next."""
MAX_DAYS: Final = 8
MAX_BYTES: Final = 64 * 1024 * 1024
UNUSED_SECONDS: Final = 120.0

Tables: TypeAlias = Mapping[str, bytes]
"""By table, the rows in the binary format of COPY."""
Key: TypeAlias = tuple[str, Days, tuple[str, ...]]
"""Tenant, days, read models."""


@dataclass(slots=True)
class CachedDays:
    """The timeline and the states of some days.

    `moment` is the snapshot at which the log was read. `runs` holds tenant and run of the imports
    that recorded some of the events. `states` maps a number of applied events, a multiple of
    `step`, to the rows after them.
    """

    timeline: Timeline
    step: int
    max_bytes: int
    moment: Snapshot | None = None
    runs: set[tuple[str, str]] = field(default_factory=set)
    states: dict[int, Tables] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used_at: float = 0.0

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        rows = sum(len(table) for state in self.states.values() for table in state.values())
        return self.timeline.size + rows

    def nearest(self, count: int) -> tuple[int, Tables]:
        """The latest state of at most `count` events, empty tables at 0."""
        at = max((one for one in self.states if one <= count), default=0)
        return at, self.states.get(at, {})

    def clear(self) -> None:
        """Forget everything: the next query reads the log again."""
        self.timeline = Timeline(self.timeline.zone)
        self.moment = None
        self.runs.clear()
        self.states.clear()

    def truncate(self, count: int) -> None:
        """Forget the states of more than `count` events."""
        self.states = {at: state for at, state in self.states.items() if at <= count}

    def put(self, count: int, state: Tables) -> None:
        """Add a state. Above `max_bytes`, double `step` and drop every other state."""
        self.states[count] = state
        while self.size > self.max_bytes and self.states:
            self.step *= 2
            self.states = {at: one for at, one in self.states.items() if at % self.step == 0}


class PastCache:
    """The cached days, least recently used first."""

    def __init__(
        self,
        *,
        step: int = STEP,
        max_bytes: int = MAX_BYTES,
        unused_seconds: float = UNUSED_SECONDS,
    ) -> None:
        self._step = step
        self._max_bytes = max_bytes
        self._unused_seconds = unused_seconds
        self._days: OrderedDict[Key, CachedDays] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        return sum(days.size for days in self._days.values())

    @asynccontextmanager
    async def hold(
        self, tenant: str, days: Days, models: Sequence[str], zone: ZoneInfo
    ) -> AsyncIterator[CachedDays]:
        """The cached days, locked for one query at a time; cleared if the query fails."""
        key = (tenant, days, tuple(models))
        cached = self._days.setdefault(
            key, CachedDays(Timeline(zone), step=self._step, max_bytes=self._max_bytes)
        )
        async with cached.lock:
            try:
                yield cached
            except BaseException:
                # It may have been changed halfway.
                cached.clear()
                raise
            finally:
                cached.used_at = asyncio.get_running_loop().time()
                if key in self._days:
                    self._days.move_to_end(key)
                self._evict()

    def _evict(self) -> None:
        """Evict expired days, and the least recently used ones while there are too many."""
        loop = asyncio.get_running_loop()
        since = loop.time() - self._unused_seconds
        for key, cached in list(self._days.items()):
            too_much = len(self._days) > MAX_DAYS or self.size > self._max_bytes
            if (cached.used_at <= since or too_much) and not cached.lock.locked():
                del self._days[key]
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_later(self._unused_seconds, self._evict) if self._days else None
