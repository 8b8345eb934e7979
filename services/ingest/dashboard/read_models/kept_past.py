"""What was worked out of the past is kept for the next question about the same days.

Kept are the days' timeline and, every so many events of it, the rows of the read models as they
were there: another instant is the nearest rows before it and the few events between. It is bounded
in days and bytes, and forgotten when it is not used.
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
"""Events from one kept state to the next."""
MOST_DAYS: Final = 8
MOST_BYTES: Final = 64 * 1024 * 1024
UNUSED_SECONDS: Final = 120.0

Tables: TypeAlias = Mapping[str, bytes]
"""By name, the rows as COPY writes them in binary."""
Key: TypeAlias = tuple[str, Days, tuple[str, ...]]
"""Tenant, days, read models."""


@dataclass(slots=True)
class KeptDays:
    """What is known of some days.

    `moment` is how far the log was read, `runs` the imports that recorded some of the events, by
    tenant and run. `states` are by the number of events that were applied, multiples of `step`.
    """

    timeline: Timeline
    step: int
    most_bytes: int
    moment: Snapshot | None = None
    runs: set[tuple[str, str]] = field(default_factory=set)
    states: dict[int, Tables] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used_at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes, about."""
        rows = sum(len(table) for state in self.states.values() for table in state.values())
        return self.timeline.size + rows

    def nearest(self, count: int) -> tuple[int, Tables]:
        """The latest kept state of at most `count` events."""
        at = max((one for one in self.states if one <= count), default=0)
        return at, self.states.get(at, {})

    def clear(self) -> None:
        """Begin anew."""
        self.timeline = Timeline(self.timeline.zone)
        self.moment = None
        self.runs.clear()
        self.states.clear()

    def cut(self, count: int) -> None:
        """Forget the states of more than `count` events."""
        self.states = {at: state for at, state in self.states.items() if at <= count}

    def put(self, count: int, state: Tables) -> None:
        """Keep a state; if there are too many bytes of them, every other one from now on."""
        self.states[count] = state
        while self.size > self.most_bytes and self.states:
            self.step *= 2
            self.states = {at: one for at, one in self.states.items() if at % self.step == 0}


class KeptPast:
    """The days that were asked for last."""

    def __init__(
        self,
        *,
        step: int = STEP,
        most_bytes: int = MOST_BYTES,
        unused_seconds: float = UNUSED_SECONDS,
    ) -> None:
        self._step = step
        self._most_bytes = most_bytes
        self._unused_seconds = unused_seconds
        self._days: OrderedDict[Key, KeptDays] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """Bytes, about."""
        return sum(days.size for days in self._days.values())

    @asynccontextmanager
    async def of(
        self, tenant: str, days: Days, models: Sequence[str], zone: ZoneInfo
    ) -> AsyncIterator[KeptDays]:
        """What is kept of these days, for one question at a time."""
        key = (tenant, days, tuple(models))
        kept = self._days.setdefault(
            key, KeptDays(Timeline(zone), step=self._step, most_bytes=self._most_bytes)
        )
        async with kept.lock:
            try:
                yield kept
            except BaseException:
                # Nothing is known about what was half done.
                kept.clear()
                raise
            finally:
                kept.used_at = asyncio.get_running_loop().time()
                if key in self._days:
                    self._days.move_to_end(key)
                self._forget()

    def _forget(self) -> None:
        """Forget what was not used for long, and the oldest while there is too much."""
        loop = asyncio.get_running_loop()
        since = loop.time() - self._unused_seconds
        for key, kept in list(self._days.items()):
            too_much = len(self._days) > MOST_DAYS or self.size > self._most_bytes
            if (kept.used_at <= since or too_much) and not kept.lock.locked():
                del self._days[key]
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_later(self._unused_seconds, self._forget) if self._days else None
