"""Waiting until read models include what was just written.

All waiters share one poll of the checkpoints. A read model that was late is suspended: waits for it
return False at once. While waits for it go on coming, a trial finds out from time to time whether a
wait would succeed again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog

from libs.eventsourcing.plan import LogPosition
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.projections.positions import Position, includes

PAUSE_SECONDS: Final = 0.003
"""Between two polls of the checkpoints without a doorbell."""
LONGEST_PAUSE_SECONDS: Final = 0.02
"""Between two polls with a doorbell, since a ring may be lost."""
TRIAL_SECONDS: Final = 0.05
"""Between two polls of a trial."""

Positions: TypeAlias = Mapping[str, Position]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    models: Sequence[str]
    written: Sequence[LogPosition]
    within: float
    done: "asyncio.Future[bool]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def lacking(self, positions: Positions) -> list[str]:
        return [name for name in self.models if not includes(positions, name, self.written)]


class Visibility:
    """Waits for read models, whose positions `read` returns. Close it.

    A suspended read model is suspended for waits of the same length.
    """

    def __init__(self, read: Callable[[], Awaitable[Positions]], doorbell: Doorbell | None) -> None:
        self._read = read
        self._doorbell = doorbell
        self._positions: Positions = {}
        self._waiters: set[_Waiter] = set()
        self._suspended: set[tuple[str, float]] = set()
        self._poll: asyncio.Task[None] | None = None
        self._trials: dict[tuple[str, float], asyncio.Task[None]] = {}

    async def wait(
        self, models: Sequence[str], written: Sequence[LogPosition], within: float
    ) -> bool:
        """Whether the read models include what was written, within so many seconds."""
        waiter = _Waiter(models, written, within)
        if not written or not waiter.lacking(self._positions):
            return True
        if suspended := self._suspended.intersection((name, within) for name in models):
            for model, _ in suspended:
                self._begin_trial(model, written, within)
            return False
        self._waiters.add(waiter)
        if self._poll is None or self._poll.done():
            self._poll = self._start(self._poll_for_waiters())
        try:
            async with asyncio.timeout(within):
                return await waiter.done
        except TimeoutError:
            self._suspend(waiter.lacking(self._positions), within)
            return False
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop polling."""
        tasks = [task for task in (self._poll, *self._trials.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll_for_waiters(self) -> None:
        rung = asyncio.Event()
        remove = self._doorbell.add_listener(rung.set, PROJECTED) if self._doorbell else None
        try:
            while self._waiters:
                rung.clear()
                await self._refresh()
                self._answer_waiters()
                if self._waiters:
                    await self._pause(rung)
        finally:
            if remove:
                remove()

    async def _pause(self, rung: asyncio.Event) -> None:
        listening = self._doorbell is not None and self._doorbell.is_listening
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_PAUSE_SECONDS if listening else PAUSE_SECONDS):
                await rung.wait()

    async def _refresh(self) -> None:
        try:
            self._positions = await self._read()
        except Exception as error:  # noqa: BLE001 -- the write is done; its answer must not fail
            log.info("checkpoints not read", error=type(error).__name__)

    def _answer_waiters(self) -> None:
        """Answer the waiters whose read models are level, or will not be for a long time."""
        for waiter in [one for one in self._waiters if not one.done.done()]:
            lacking = waiter.lacking(self._positions)
            if not lacking:
                waiter.done.set_result(True)
            elif blocked := [name for name in lacking if self._is_blocked(name)]:
                self._suspend(blocked, waiter.within)
                waiter.done.set_result(False)

    def _is_blocked(self, model: str) -> bool:
        position = self._positions.get(model)
        return position is not None and (position.detached or position.parked)

    def _suspend(self, models: Iterable[str], within: float) -> None:
        """Suspend read models for waits of this length."""
        late = {(name, within) for name in models} - self._suspended
        if late:
            self._suspended |= late
            names = sorted(name for name, _ in late)
            log.warning("answers do not wait for read models", models=names, seconds=within)

    def _begin_trial(self, model: str, written: Sequence[LogPosition], within: float) -> None:
        key = model, within
        if key not in self._trials:
            self._trials[key] = self._start(self._trial(key, written))
            self._trials[key].add_done_callback(lambda _: self._trials.pop(key, None))

    async def _trial(self, key: tuple[str, float], written: Sequence[LogPosition]) -> None:
        """Wait for a write in the background; if that was in time, end the suspension."""
        model, within = key
        for _ in range(max(1, round(within / TRIAL_SECONDS))):
            await asyncio.sleep(min(TRIAL_SECONDS, within))
            await self._refresh()
            if includes(self._positions, model, written) and not self._is_blocked(model):
                self._suspended.discard(key)
                log.info("answers wait for a read model again", model=model, seconds=within)
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        # In a context of its own: the task serves many requests, not only the one that starts it.
        return asyncio.create_task(work, name="visibility", context=Context())
