"""Leases and rate limits in memory, for an agent: no other process of this
installation connects to its scales (R1, R3).
"""

from collections.abc import Callable

from services.scale_bridge.driver.domain.address import Endpoint


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
