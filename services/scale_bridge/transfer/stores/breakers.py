"""The circuit breakers of all endpoints, shared by all processes (R6)."""

from datetime import datetime
from typing import Final, Self

from libs.clock import Clock
from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire
from services.scale_bridge.context import Context
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.breaker import (
    Breaker,
    BreakerRules,
    Pass,
    Verdict,
    Wait,
    allowed,
    recorded,
)

SELECT: Final = "SELECT failures, shut_until FROM breaker WHERE endpoint = $1"
SAVE: Final = """
INSERT INTO breaker (endpoint, failures, shut_until) VALUES ($1, $2, $3)
ON CONFLICT (endpoint) DO UPDATE
SET failures = excluded.failures, shut_until = excluded.shut_until
"""
FORGET: Final = "DELETE FROM breaker WHERE endpoint = $1"


class Breakers:
    """Circuit breakers by endpoint, with the same rules. Every method raises Unavailable."""

    def __init__(self, pool: Pool, clock: Clock, rules: BreakerRules) -> None:
        self._pool = pool
        self._clock = clock
        self.rules = rules

    @classmethod
    def of(cls, context: Context) -> Self:
        """The circuit breakers of the service, with the rules of its settings."""
        return cls(context.system, context.clock, context.settings.breaker_rules)

    async def remaining(self, endpoint: Endpoint) -> float:
        """Seconds until the next trial; 0 if an operation may begin now."""
        async with acquire(self._pool) as connection:
            breaker = await _load(connection, endpoint)
        _, verdict = allowed(breaker, self._clock(), self.rules)
        return verdict.seconds if isinstance(verdict, Wait) else 0.0

    async def allow(self, endpoint: Endpoint) -> Verdict:
        """Whether an operation may begin. Of several concurrent callers one gets the trial."""
        async with acquire(self._pool) as connection, connection.transaction():
            breaker = await _load(connection, endpoint, lock=True)
            after, verdict = allowed(breaker, self._clock(), self.rules)
            if isinstance(verdict, Pass) and verdict.trial:
                await _save(connection, endpoint, after.failures, after.open_until)
        return verdict

    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None:
        """Count the result of an operation."""
        async with acquire(self._pool) as connection, connection.transaction():
            breaker = await _load(connection, endpoint, lock=True)
            after = recorded(breaker, fault, self._clock(), self.rules)
            if after == Breaker():
                await connection.execute(FORGET, str(endpoint))
            elif after != breaker:
                await _save(connection, endpoint, after.failures, after.open_until)

    async def reset(self, endpoint: Endpoint) -> None:
        """Close the breaker: the scale at the endpoint may be another one."""
        await query.execute(self._pool, FORGET, str(endpoint))


async def _load(connection: Connection, endpoint: Endpoint, *, lock: bool = False) -> Breaker:
    row = await connection.fetchrow(SELECT + (" FOR UPDATE" if lock else ""), str(endpoint))
    if row is None:
        return Breaker()
    return Breaker(failures=row["failures"], open_until=row["shut_until"])


async def _save(
    connection: Connection, endpoint: Endpoint, failures: int, open_until: datetime | None
) -> None:
    await connection.execute(SAVE, str(endpoint), failures, open_until)
