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
"""The name of the limit that a key has of its own."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """The limit that is used up, and the seconds until the next request, at least 1."""

    limit: RateLimit
    retry_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Remaining:
    """The requests that a limit still allows, and the seconds until it is reset."""

    limit: RateLimit
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One limit: for a key or account at an address, or `by` key or tenant from all addresses."""

    item: RateLimitItem
    by: str = ""


def parse_limits(text: str) -> Sequence[LimitRule]:
    """Parse limits like `100/minute; 1000/hour by key; 9000/hour by tenant`; empty for none.

    Raises ValueError.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    return [_limit_rule(part, BY.search(part)) for part in parts]


def _limit_rule(part: str, by: re.Match[str] | None) -> LimitRule:
    return LimitRule(parse(part)) if by is None else LimitRule(parse(part[: by.start()]), by[1])


class Limits:
    """The limits by kind of route, in the syntax of `parse_limits`.

    Raises Unavailable if the storage at the URL is not supported. Requests pass while the storage
    does not answer: no limit is worth a lost scan. IPv6 addresses are counted by /64.
    """

    def __init__(self, texts: Mapping[Limit, str], *, storage: str = MEMORY) -> None:
        self._rules = {limit: parse_limits(text) for limit, text in texts.items()}
        try:
            counted = storage_from_string(storage, wrap_exceptions=True)
            self._limiter = SlidingWindowCounterRateLimiter(counted)
            self._storage = counted if isinstance(counted, Storage) else None
            self._in_memory = storage == MEMORY
        except (ConfigurationError, NotImplementedError) as error:
            raise Unavailable("rate limit storage") from error

    def counts(self, limit: Limit) -> bool:
        """Whether the limit is configured."""
        return bool(self._rules.get(limit))

    async def storage_answers(self) -> bool:
        """Whether the counts are stored outside of this process, and the storage answers."""
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
        """Count one request; the limit that it exceeds, if any.

        Without a tenant, limits by tenant are skipped.
        """
        for rule in self._rules.get(limit, ()):
            if (counted_for := _counted_for(rule, key, address, tenant)) is None:
                continue
            if over := await self._hit(limit, rule.item, (limit, *counted_for)):
                return over
        return None

    async def remaining(
        self, limit: Limit, *, key: str, address: str, tenant: str | None = None
    ) -> Remaining | None:
        """The remaining requests of the limit that is closest to its end; counts nothing."""
        remaining = []
        for rule in self._rules.get(limit, ()):
            if (counted_for := _counted_for(rule, key, address, tenant)) is not None:
                remaining.append(await self._remaining(limit, rule.item, (limit, *counted_for)))
        return min(
            filter(None, remaining), key=lambda one: one.remaining / one.limit.quota, default=None
        )

    async def test(self, limit: Limit, *, key: str, address: str) -> Exceeded | None:
        """The result of `hit`, without counting."""
        for rule in self._rules.get(limit, ()):
            if (counted_for := _counted_for(rule, key, address, None)) is None:
                continue
            if over := await self._hit(limit, rule.item, (limit, *counted_for), counted=False):
                return over
        return None

    async def hit_own(self, per_minute: int | None, *, key: str) -> Exceeded | None:
        """Count one request against the key's own limit, from all addresses."""
        if per_minute is None:
            return None
        return await self._hit(OWN, RateLimitItemPerMinute(per_minute), (OWN, key))

    async def _hit(
        self, name: str, item: RateLimitItem, counted_for: tuple[str, ...], *, counted: bool = True
    ) -> Exceeded | None:
        check = self._limiter.hit if counted else self._limiter.test
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                if not await check(item, *counted_for):
                    return await self._exceeded(name, item, counted_for)
        except (StorageError, TimeoutError) as error:
            log.warning("rate limits not counted", reason=type(error).__name__)
        return None

    async def _remaining(
        self, name: str, item: RateLimitItem, counted_for: tuple[str, ...]
    ) -> Remaining | None:
        try:
            async with asyncio.timeout(STORAGE_SECONDS):
                stats = await self._limiter.get_window_stats(item, *counted_for)
        except (StorageError, TimeoutError):
            return None
        return Remaining(
            limit=_limit(name, item),
            remaining=max(0, stats.remaining),
            reset_seconds=max(1, ceil(stats.reset_time - time.time())),
        )

    async def _exceeded(
        self, name: str, item: RateLimitItem, counted_for: tuple[str, ...]
    ) -> Exceeded:
        stats = await self._limiter.get_window_stats(item, *counted_for)
        return Exceeded(
            limit=_limit(name, item),
            retry_after=max(1, ceil(stats.reset_time - time.time())),
        )


def _counted_for(
    rule: LimitRule, key: str, address: str, tenant: str | None
) -> tuple[str, ...] | None:
    match rule.by:
        case "key":
            return (key,)
        case "tenant":
            # With a prefix, or a tenant would share its count with a key of the same name.
            return None if tenant is None else ("tenant", tenant)
        case _:
            return (key, network_of(address))


def _limit(name: str, item: RateLimitItem) -> RateLimit:
    return RateLimit(name=name, quota=item.amount, window_seconds=item.get_expiry())
