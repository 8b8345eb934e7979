"""The circuit breakers of all endpoints (R6): shared by all processes, or in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Self, TypeVar

from libs.clock import Clock
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from services.scale_bridge.context import Context
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

Result = TypeVar("Result")

SELECT: Final = "SELECT failures, shut_until FROM breaker WHERE endpoint = $1"
SAVE: Final = """
INSERT INTO breaker (endpoint, failures, shut_until) VALUES ($1, $2, $3)
ON CONFLICT (endpoint) DO UPDATE
SET failures = excluded.failures, shut_until = excluded.shut_until
"""
FORGET: Final = "DELETE FROM breaker WHERE endpoint = $1"


class CircuitBreakers(ABC):
    """Circuit breakers by endpoint, with the same rules. A closed one takes no room."""

    def __init__(self, rules: BreakerRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock

    async def remaining(self, endpoint: Endpoint) -> float:
        """Seconds until the next trial; 0 if an operation may begin now."""
        _, verdict = allowed(await self._get(endpoint), self._clock(), self._rules)
        return verdict.seconds if isinstance(verdict, Wait) else 0.0

    async def allow(self, endpoint: Endpoint) -> Verdict:
        """Whether an operation may begin. Of several concurrent callers one gets the trial."""
        now = self._clock()
        return await self._change(endpoint, lambda before: allowed(before, now, self._rules))

    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None:
        """Count the result of an operation."""
        now = self._clock()
        await self._change(
            endpoint, lambda before: (recorded(before, fault, now, self._rules), None)
        )

    @abstractmethod
    async def _get(self, endpoint: Endpoint) -> Breaker: ...

    @abstractmethod
    async def _change(
        self, endpoint: Endpoint, change: Callable[[Breaker], tuple[Breaker, Result]]
    ) -> Result:
        """Store what `change` makes of a breaker, which nothing else changes meanwhile."""
        ...


class Breakers(CircuitBreakers):
    """Circuit breakers shared by all processes. Every method raises Unavailable."""

    def __init__(self, pool: Pool, clock: Clock, rules: BreakerRules) -> None:
        super().__init__(rules, clock)
        self._pool = pool

    @classmethod
    def of(cls, context: Context) -> Self:
        """The circuit breakers of the service, with the rules of its settings."""
        return cls(context.system, context.clock, context.settings.breaker_rules)

    async def reset(self, endpoint: Endpoint) -> None:
        """Close the breaker: the scale at the endpoint may be another one."""
        await query.execute(self._pool, FORGET, str(endpoint))

    async def _get(self, endpoint: Endpoint) -> Breaker:
        return _breaker(await query.fetchrow(self._pool, SELECT, str(endpoint)))

    async def _change(
        self, endpoint: Endpoint, change: Callable[[Breaker], tuple[Breaker, Result]]
    ) -> Result:
        key = str(endpoint)
        async with acquire(self._pool) as connection, connection.transaction():
            before = _breaker(await connection.fetchrow(f"{SELECT} FOR UPDATE", key))
            after, result = change(before)
            if after == Breaker() != before:
                await connection.execute(FORGET, key)
            elif after != before:
                await connection.execute(SAVE, key, after.failures, after.open_until)
        return result


class LocalBreakers(CircuitBreakers):
    """Circuit breakers in memory, for an agent: no other process connects to its scales."""

    def __init__(self, rules: BreakerRules, clock: Clock) -> None:
        super().__init__(rules, clock)
        self._breakers: dict[Endpoint, Breaker] = {}

    async def _get(self, endpoint: Endpoint) -> Breaker:
        return self._breakers.get(endpoint, Breaker())

    async def _change(
        self, endpoint: Endpoint, change: Callable[[Breaker], tuple[Breaker, Result]]
    ) -> Result:
        after, result = change(self._breakers.pop(endpoint, Breaker()))
        if after != Breaker():
            self._breakers[endpoint] = after
        return result


def _breaker(row: query.Row | None) -> Breaker:
    if row is None:
        return Breaker()
    return Breaker(failures=row["failures"], open_until=row["shut_until"])
