"""A subscription: one dashboard query and its last states, numbered.

A viewer holds only the number of the last state it received. When it can take more it gets the
difference between that state and the current one. So a slow viewer skips states and delays no
other, and a viewer that reconnects is served in the same way.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec
from fastapi.sse import format_sse_event

from services.ingest.dashboard.api.overview import Overview
from services.ingest.dashboard.api.state_diff import carry_over, difference
from services.ingest.scans.api.responses import Filters, State
from services.ingest.scans.domain.filter import ScanFilter

MAX_STATES: Final = 240
"""The number of states in memory: a minute of constant change."""

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Subscription:
    """A query and its latest states. Event ids begin with `name`, which is unique."""

    name: str
    tenant: str
    filters: Filters
    viewers: int = 0
    left_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    positions: object = None
    scan_filter: ScanFilter | None = None
    overview: Overview | None = None
    state: State | None = None
    number: int = 0
    _past: deque[tuple[int, State]] = field(default_factory=lambda: deque(maxlen=MAX_STATES))
    _messages: dict[int | None, bytes] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def state_number(self, event_id: str | None) -> int | None:
        """The number of the state an event led to; None if it is not in memory any more."""
        name, _, number = (event_id or "").rpartition("-")
        return next((n for n, _ in self._past if (self.name, str(n)) == (name, number)), None)

    def since(self, number: int | None) -> bytes:
        """The event that leads from a state to the current one; empty if there is no difference."""
        if number == self.number or self.state is None:
            return b""
        if number not in self._messages:
            self._messages[number] = self._event(self.state, number)
        return self._messages[number]

    def publish(self, state: State, *, reset: bool) -> None:
        """Set the current state. `reset` forgets the states before: the filter has changed."""
        if reset:
            self._past.clear()
        last = self._past[-1][1] if self._past else None
        self.state = state
        self._messages.clear()
        if last is not None:
            if (cells := difference(last, state)) is not None and not cells:
                return
            state = carry_over(last, state)
        self.number += 1
        self._past.append((self.number, state))
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_changed(self, seconds: float) -> None:
        """Wait for the next state, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _event(self, state: State, number: int | None) -> bytes:
        old = next((past for n, past in self._past if n == number), None)
        cells = difference(old, state) if old is not None else None
        if cells is not None and not cells:
            return b""
        return format_sse_event(
            event="state" if cells is None else "cells",
            data_str=_encode(state if cells is None else cells).decode(),
            id=f"{self.name}-{self.number}",
        )
