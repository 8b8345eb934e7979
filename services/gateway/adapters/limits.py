"""Rate limits, counted by `limits` in this process or wherever its storage URL points."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from limits import RateLimitItem, parse_many
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from services.gateway.domain.door import Limit

MEMORY = "async+memory://"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """Which limit is used up, and in how many seconds there is room again (at least 1)."""

    name: str
    quota: int
    window_seconds: int
    retry_after: int


class Limits:
    """The limits of each kind of route, as texts like `100/minute;1000/hour`; empty is none."""

    def __init__(self, texts: Mapping[Limit, str], *, storage: str = MEMORY) -> None:
        self._items: dict[Limit, Sequence[RateLimitItem]] = {
            limit: parse_many(text) if text else () for limit, text in texts.items()
        }
        self._limiter = SlidingWindowCounterRateLimiter(storage_from_string(storage))

    async def hit(self, limit: Limit, *who: str) -> Exceeded | None:
        """Count one request of `who`; says so if that was one too many."""
        for item in self._items.get(limit, ()):
            if not await self._limiter.hit(item, limit, *who):
                stats = await self._limiter.get_window_stats(item, limit, *who)
                return Exceeded(
                    name=limit,
                    quota=item.amount,
                    window_seconds=item.get_expiry(),
                    retry_after=max(1, ceil(stats.reset_time - time.time())),
                )
        return None
