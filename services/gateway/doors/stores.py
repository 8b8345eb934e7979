"""Rate limits, counted by `limits` in this process or wherever its storage URL points."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from libs.errors import RateLimit, Unavailable
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.domain.network import network_of

MEMORY: Final = "async+memory://"
BY: Final = re.compile(r"\s+by (key|tenant)$")
STORAGE_SECONDS: Final = 0.5
OWN: Final = "own"
"""The name of the limit that a key has for itself."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """Which limit is used up, and in how many seconds there is room again (at least 1)."""

    limit: RateLimit
    retry_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """How many more requests a limit takes, and in how many seconds it begins anew."""

    limit: RateLimit
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit, of a key or account at an address, or of all requests `by` key or tenant."""

    item: RateLimitItem
    by: str = ""


def allowances(text: str) -> Sequence[Allowance]:
    """Limits like `100/minute; 1000/hour by key; 9000/hour by tenant`; nothing is none.

    Raises ValueError.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    return [_allowance(part, BY.search(part)) for part in parts]


def _allowance(part: str, by: re.Match[str] | None) -> Allowance:
    return Allowance(parse(part)) if by is None else Allowance(parse(part[: by.start()]), by[1])


class Limits:
    """The limits of each kind of route, as `allowances` reads them.

    Raises Unavailable if the storage at the URL cannot be used here at all. One that does not
    answer later lets everybody through: no limit is worth a lost scan. Of an IPv6 address the /64
    is counted.
    """

    def __init__(self, texts: Mapping[Limit, str], *, storage: str = MEMORY) -> None:
        self._allowances = {limit: allowances(text) for limit, text in texts.items()}
        try:
            counted = storage_from_string(storage, wrap_exceptions=True)
            self._limiter = SlidingWindowCounterRateLimiter(counted)
            self._storage = counted if isinstance(counted, Storage) else None
            self._in_memory = storage == MEMORY
        except (ConfigurationError, NotImplementedError) as error:
            raise Unavailable("rate limit storage") from error

    def counts(self, limit: Limit) -> bool:
        """Whether there is such a limit."""
        return bool(self._allowances.get(limit))

    async def storage_answers(self) -> bool:
        """Whether counts are kept outside of this process, and can be reached there."""
        if self._storage is None or self._in_memory:
            return False
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                return bool(await self._storage.check())
        except (StorageError, TimeoutError):
            return False

    async def hit(
        self, limit: Limit, *, key: str, address: str, tenant: str | None = None
    ) -> Exceeded | None:
        """Count one request; says so if that was one too many. Of no tenant, none is counted."""
        for allowance in self._allowances.get(limit, ()):
            if (whose := _whose(allowance, key, address, tenant)) is None:
                continue
            if over := await self._hit(limit, allowance.item, (limit, *whose)):
                return over
        return None

    async def left(
        self, limit: Limit, *, key: str, address: str, tenant: str | None = None
    ) -> Left | None:
        """What is left of the limit that will be used up first; nothing is counted."""
        found = []
        for allowance in self._allowances.get(limit, ()):
            if (whose := _whose(allowance, key, address, tenant)) is not None:
                found.append(await self._left(limit, allowance.item, (limit, *whose)))
        return min(
            filter(None, found), key=lambda one: one.remaining / one.limit.quota, default=None
        )

    async def test(self, limit: Limit, *, key: str, address: str) -> Exceeded | None:
        """What `hit` would say now; nothing is counted."""
        for allowance in self._allowances.get(limit, ()):
            if (whose := _whose(allowance, key, address, None)) is None:
                continue
            if over := await self._hit(limit, allowance.item, (limit, *whose), counted=False):
                return over
        return None

    async def hit_own(self, per_minute: int | None, *, key: str) -> Exceeded | None:
        """Count one request against the limit that a key has for itself, wherever it is used."""
        if per_minute is None:
            return None
        return await self._hit(OWN, RateLimitItemPerMinute(per_minute), (OWN, key))

    async def _hit(
        self, name: str, item: RateLimitItem, who: tuple[str, ...], *, counted: bool = True
    ) -> Exceeded | None:
        ask = self._limiter.hit if counted else self._limiter.test
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                if not await ask(item, *who):
                    return await self._exceeded(name, item, who)
        except (StorageError, TimeoutError) as error:
            log.warning("rate limits not counted", reason=type(error).__name__)
        return None

    async def _left(self, name: str, item: RateLimitItem, who: tuple[str, ...]) -> Left | None:
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                stats = await self._limiter.get_window_stats(item, *who)
        except (StorageError, TimeoutError):
            return None
        return Left(
            limit=_limit(name, item),
            remaining=max(0, stats.remaining),
            reset_seconds=max(1, ceil(stats.reset_time - time.time())),
        )

    async def _exceeded(self, name: str, item: RateLimitItem, who: tuple[str, ...]) -> Exceeded:
        stats = await self._limiter.get_window_stats(item, *who)
        return Exceeded(
            limit=_limit(name, item),
            retry_after=max(1, ceil(stats.reset_time - time.time())),
        )


def _whose(
    allowance: Allowance, key: str, address: str, tenant: str | None
) -> tuple[str, ...] | None:
    match allowance.by:
        case "key":
            return (key,)
        case "tenant":
            # Named, or a tenant might share its count with a key of the same name.
            return None if tenant is None else ("tenant", tenant)
        case _:
            return (key, network_of(address))


def _limit(name: str, item: RateLimitItem) -> RateLimit:
    return RateLimit(name=name, quota=item.amount, window_seconds=item.get_expiry())
