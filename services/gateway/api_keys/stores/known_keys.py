"""A cache of API keys that keeps answering without the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.postgres.guarded_pool import ANY_ERROR
from services.gateway.doors.domain.caller import Caller

LookUp: TypeAlias = Callable[[str], Awaitable[Caller | None]]
AWAY: Final = (Unavailable, *ANY_ERROR)
LOOK_UP_SECONDS: Final = 3.0


class KeysUnavailable(Exception):
    """The key is not in the cache and the database does not answer."""


@dataclass(frozen=True, slots=True)
class _Seen:
    caller: Caller | None
    at: float
    refresh_at: float


class KnownKeys:
    """Callers by the hash of their key. Times are in seconds.

    An entry is used for `fresh`, that of an unknown key for `unknown`. Without the database an
    entry is used for `stale`, and the database queried again after `pause`. Known and unknown keys
    have `capacity` entries each, so that unknown keys do not evict known ones.
    """

    def __init__(
        self,
        look_up: LookUp,
        *,
        fresh: float = 10.0,
        unknown: float = 2.0,
        stale: float = 3600.0,
        pause: float = 1.0,
        capacity: int = 10_000,
        now: Callable[[], float] = time.monotonic,
        clock: Clock = utc_now,
    ) -> None:
        self._look_up = look_up
        self._fresh, self._unknown, self._stale, self._pause = fresh, unknown, stale, pause
        self._capacity = capacity
        self._now = now
        self._clock = clock
        self._callers: dict[str, _Seen] = {}
        self._unknown_keys: dict[str, _Seen] = {}
        self._fetching: dict[str, asyncio.Task[Caller | None]] = {}

    async def caller(self, hashed: str) -> Caller | None:
        """The holder of the key with this hash; None for an unknown, revoked or expired key.

        Raises KeysUnavailable.
        """
        seen = self._callers.get(hashed) or self._unknown_keys.get(hashed)
        if seen is not None and self._now() < seen.refresh_at:
            caller = seen.caller
        else:
            caller = await self._fetch(hashed)
        return None if caller is None or caller.is_over(self._clock()) else caller

    async def known_from_now(self, hashed: str) -> bool:
        """Whether the key has a caller, by the database; drops an entry for an unknown key.

        Raises KeysUnavailable.
        """
        if (lookup := self._fetching.get(hashed)) is not None:
            await asyncio.wait([lookup])
        self._unknown_keys.pop(hashed, None)
        try:
            return await self._look_up(hashed) is not None
        except AWAY as error:
            raise KeysUnavailable from error

    async def _fetch(self, hashed: str) -> Caller | None:
        """Query the database once for all that wait for the same key, even if some give up."""
        task = self._fetching.get(hashed)
        if task is None:
            task = self._fetching[hashed] = asyncio.create_task(self._refresh(hashed))
            task.add_done_callback(lambda done: self._fetched(hashed, done))
        return await asyncio.shield(task)

    def _fetched(self, hashed: str, done: asyncio.Task[Caller | None]) -> None:
        del self._fetching[hashed]
        if not done.cancelled():
            done.exception()  # Without a waiter asyncio logs an exception that was not retrieved.

    async def _refresh(self, hashed: str) -> Caller | None:
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                caller = await self._look_up(hashed)
        except AWAY as error:
            return self._from_memory(hashed, error)
        now = self._now()
        if caller is None:
            self._callers.pop(hashed, None)
            self._remember(self._unknown_keys, hashed, _Seen(None, now, now + self._unknown))
        else:
            self._unknown_keys.pop(hashed, None)
            self._remember(self._callers, hashed, _Seen(caller, now, now + self._fresh))
        return caller

    def _from_memory(self, hashed: str, error: Exception) -> Caller:
        seen, now = self._callers.get(hashed), self._now()
        if seen is None or seen.caller is None or now - seen.at > self._stale:
            raise KeysUnavailable from error
        self._callers[hashed] = replace(seen, refresh_at=now + self._pause)
        return seen.caller

    def _remember(self, cache: dict[str, _Seen], hashed: str, seen: _Seen) -> None:
        cache.pop(hashed, None)
        if len(cache) >= self._capacity:
            cache.pop(next(iter(cache)))
        cache[hashed] = seen
