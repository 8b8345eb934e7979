"""How the circuit breakers of endpoints stand, for all processes together (R6)."""

from datetime import datetime
from typing import Final

from libs.clock import Clock
from libs.postgres.pool import Connection, Pool, acquire
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.breaker import (
    Breaker,
    Pass,
    Rules,
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
    """Circuit breakers under common rules. Each method raises Unavailable."""

    def __init__(self, pool: Pool, clock: Clock, rules: Rules) -> None:
        self._pool = pool
        self._clock = clock
        self.rules = rules

    async def remaining(self, endpoint: Endpoint) -> float:
        """How many seconds to wait before it makes sense to ask; 0 if it does now."""
        async with acquire(self._pool) as connection:
            breaker = await _load(connection, endpoint)
        _, verdict = allowed(breaker, self._clock(), self.rules)
        return verdict.seconds if isinstance(verdict, Wait) else 0.0

    async def allow(self, endpoint: Endpoint) -> Verdict:
        """Whether an operation may begin. Of several that ask at once one is the probe."""
        async with acquire(self._pool) as connection, connection.transaction():
            breaker = await _load(connection, endpoint, lock=True)
            after, verdict = allowed(breaker, self._clock(), self.rules)
            if isinstance(verdict, Pass) and verdict.probe:
                await _save(connection, endpoint, after.failures, after.shut_until)
        return verdict

    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None:
        """How an operation went."""
        async with acquire(self._pool) as connection, connection.transaction():
            breaker = await _load(connection, endpoint, lock=True)
            after = recorded(breaker, fault, self._clock(), self.rules)
            if after == Breaker():
                await connection.execute(FORGET, str(endpoint))
            elif after != breaker:
                await _save(connection, endpoint, after.failures, after.shut_until)

    async def reset(self, endpoint: Endpoint) -> None:
        """Close it: a scale moved there."""
        async with acquire(self._pool) as connection:
            await connection.execute(FORGET, str(endpoint))


async def _load(connection: Connection, endpoint: Endpoint, *, lock: bool = False) -> Breaker:
    row = await connection.fetchrow(SELECT + (" FOR UPDATE" if lock else ""), str(endpoint))
    if row is None:
        return Breaker()
    return Breaker(failures=row["failures"], shut_until=row["shut_until"])


async def _save(
    connection: Connection, endpoint: Endpoint, failures: int, shut_until: datetime | None
) -> None:
    await connection.execute(SAVE, str(endpoint), failures, shut_until)
