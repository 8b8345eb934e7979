"""DeviceLeases and circuit breakers of one process that alone speaks to its scales (R1, R6)."""

from collections.abc import Callable
from datetime import datetime

from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.breaker import (
    Breaker,
    Rules,
    Verdict,
    Wait,
    allowed,
    recorded,
)


class LocalLeases:
    """Like `leases.Leases`, in memory: a lease here does not run out."""

    seconds = 60.0

    def __init__(self) -> None:
        self._holders: dict[Endpoint, str] = {}

    async def take(self, endpoint: Endpoint, holder: str) -> bool:
        """Take the lease; False if it is held."""
        return self._holders.setdefault(endpoint, holder) == holder

    async def renew(self, endpoint: Endpoint, holder: str) -> bool:
        """Whether it still is the holder's."""
        return self._holders.get(endpoint) == holder

    async def release(self, endpoint: Endpoint, holder: str) -> None:
        """Let others speak."""
        if self._holders.get(endpoint) == holder:
            del self._holders[endpoint]


class LocalBreakers:
    """Compare `breakers.Breakers`. Closed ones are forgotten."""

    def __init__(self, rules: Rules, clock: Callable[[], datetime]) -> None:
        self._rules = rules
        self._clock = clock
        self._breakers: dict[Endpoint, Breaker] = {}

    async def remaining(self, endpoint: Endpoint) -> float:
        """Seconds until a probe may be let through; 0 if one may be now."""
        breaker = self._breakers.get(endpoint, Breaker())
        if breaker.shut_until is None:
            return 0.0
        return max(0.0, (breaker.shut_until - self._clock()).total_seconds())

    async def allow(self, endpoint: Endpoint) -> Verdict:
        """Whether an operation may begin."""
        breaker = self._breakers.get(endpoint, Breaker())
        breaker, verdict = allowed(breaker, self._clock(), self._rules)
        if not isinstance(verdict, Wait):
            self._save(endpoint, breaker)
        return verdict

    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None:
        """How it went."""
        breaker = self._breakers.get(endpoint, Breaker())
        self._save(endpoint, recorded(breaker, fault, self._clock(), self._rules))

    def _save(self, endpoint: Endpoint, breaker: Breaker) -> None:
        if breaker == Breaker():
            self._breakers.pop(endpoint, None)
        else:
            self._breakers[endpoint] = breaker
