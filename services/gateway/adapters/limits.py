"""Rate limits, counted by `limits` in this process or wherever its storage URL points."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import structlog
from limits import RateLimitItem, parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from libs.errors import Unavailable
from services.gateway.domain.door import Limit

MEMORY: Final = "async+memory://"
BY_KEY: Final = "by key"
STORAGE_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """Which limit is used up, and in how many seconds there is room again (at least 1)."""

    name: str
    quota: int
    window_seconds: int
    retry_after: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit; `by_key` counts all of a key's requests, from wherever they come."""

    item: RateLimitItem
    by_key: bool


def allowances(text: str) -> Sequence[Allowance]:
    """Limits like `100/minute; 1000/hour by key`; nothing is none. Raises ValueError."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    return [
        Allowance(parse(part.removesuffix(BY_KEY).strip()), part.endswith(BY_KEY)) for part in parts
    ]


class Limits:
    """The limits of each kind of route, as `allowances` reads them.

    Raises Unavailable if the storage at the URL cannot be used here at all. One that does not
    answer later lets everybody through: no limit is worth a lost scan.
    """

    def __init__(self, texts: Mapping[Limit, str], *, storage: str = MEMORY) -> None:
        self._allowances = {limit: allowances(text) for limit, text in texts.items()}
        try:
            counted = storage_from_string(storage, wrap_exceptions=True)
            self._limiter = SlidingWindowCounterRateLimiter(counted)
        except (ConfigurationError, NotImplementedError) as error:
            raise Unavailable("rate limit storage") from error

    async def hit(self, limit: Limit, *, key: str, address: str) -> Exceeded | None:
        """Count one request; says so if that was one too many."""
        for allowance in self._allowances.get(limit, ()):
            who = (limit, key) if allowance.by_key else (limit, key, address)
            try:
                async with asyncio.timeout(STORAGE_SECONDS):
                    if not await self._limiter.hit(allowance.item, *who):
                        return await self._exceeded(limit, allowance.item, who)
            except (StorageError, TimeoutError) as error:
                log.warning("rate limits not counted", reason=type(error).__name__)
        return None

    async def _exceeded(self, limit: Limit, item: RateLimitItem, who: tuple[str, ...]) -> Exceeded:
        stats = await self._limiter.get_window_stats(item, *who)
        return Exceeded(
            name=limit,
            quota=item.amount,
            window_seconds=item.get_expiry(),
            retry_after=max(1, ceil(stats.reset_time - time.time())),
        )
