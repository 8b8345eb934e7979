"""Leases, circuit breakers and rate limits in memory, for an agent: no other process of this
installation connects to its scales (R1, R3, R6).
"""

from collections.abc import Callable
from datetime import datetime

from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.breaker import (
    Breaker,
    BreakerRules,
    Verdict,
    Wait,
    allowed,
    recorded,
)


class LocalLeases:
    """See `libs.postgres.leases.Leases`. A lease in memory does not expire."""

    seconds = 60.0

    def __init__(self) -> None:
        self._holders: dict[Endpoint, str] = {}

    async def take(self, endpoint: Endpoint, holder: str) -> bool:
        """Take the lease; False if another holder has it."""
        return self._holders.setdefault(endpoint, holder) == holder

    async def renew(self, endpoint: Endpoint, holder: str) -> bool:
        """Whether the holder still has the lease."""
        return self._holders.get(endpoint) == holder

    async def release(self, endpoint: Endpoint, holder: str) -> None:
        """Release the lease; nothing if another holder has it."""
        if self._holders.get(endpoint) == holder:
            del self._holders[endpoint]


class LocalBreakers:
    """See `breakers.Breakers`. A closed breaker takes no memory."""

    def __init__(self, rules: BreakerRules, clock: Callable[[], datetime]) -> None:
        self._rules = rules
        self._clock = clock
        self._breakers: dict[Endpoint, Breaker] = {}

    async def remaining(self, endpoint: Endpoint) -> float:
        """Seconds until the next trial; 0 if an operation may begin now."""
        breaker = self._breakers.get(endpoint, Breaker())
        if breaker.open_until is None:
            return 0.0
        return max(0.0, (breaker.open_until - self._clock()).total_seconds())

    async def allow(self, endpoint: Endpoint) -> Verdict:
        """Whether an operation may begin."""
        breaker = self._breakers.get(endpoint, Breaker())
        breaker, verdict = allowed(breaker, self._clock(), self._rules)
        if not isinstance(verdict, Wait):
            self._save(endpoint, breaker)
        return verdict

    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None:
        """Count the result of an operation."""
        breaker = self._breakers.get(endpoint, Breaker())
        self._save(endpoint, recorded(breaker, fault, self._clock(), self._rules))

    def _save(self, endpoint: Endpoint, breaker: Breaker) -> None:
        if breaker == Breaker():
            self._breakers.pop(endpoint, None)
        else:
            self._breakers[endpoint] = breaker


class LocalRateLimits:
    """See `rate_limits.RateLimits`. `now` is a monotonic clock in seconds."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._interval = seconds
        self._now = now
        self._next: dict[Endpoint, float] = {}

    async def reserve(self, endpoint: Endpoint) -> float:
        """Reserve the next connection; returns the seconds to wait for it."""
        now = self._now()
        self._next = {known: at for known, at in self._next.items() if at > now}
        start = self._next.get(endpoint, now)
        self._next[endpoint] = start + self._interval
        return start - now
