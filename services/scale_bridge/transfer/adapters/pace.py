"""How often scales are connected to, by all callers together: seldom enough for the weakest (R3).

A scale is one for all processes, operations and attempts: every connection to it is reserved.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from libs.postgres.pool import Pool, acquire
from services.scale_bridge.driver.domain.address import Endpoint

CONNECTION_SECONDS: Final = 1.0
"""Between two connections to a scale."""

RESERVE: Final = """
INSERT INTO pace AS known (endpoint, next_at) VALUES ($1, now() + $2::interval)
ON CONFLICT (endpoint) DO UPDATE SET next_at = greatest(known.next_at, now()) + $2::interval
RETURNING next_at - $2::interval - now()
"""
FORGET: Final = "DELETE FROM pace WHERE next_at < now() - interval '1 hour'"


class Pace:
    """One connection to a scale in so many seconds, by the database's clock; 0 for any number."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._between = timedelta(seconds=seconds)

    async def reserve(self, endpoint: Endpoint) -> float:
        """Reserve the next connection; in how many seconds it may be made. Raises Unavailable."""
        if not self._between:
            return 0.0
        async with acquire(self._pool) as connection:
            wait: timedelta = await connection.fetchval(RESERVE, str(endpoint), self._between)
        return wait.total_seconds()


async def tidy(pool: Pool) -> None:
    """Forget scales that were not connected to for long. Raises Unavailable."""
    async with acquire(pool) as connection:
        await connection.execute(FORGET)


class LocalPace:
    """The same for one process that alone speaks to its scales; `now` is a clock in seconds."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._between = seconds
        self._now = now
        self._next: dict[Endpoint, float] = {}

    async def reserve(self, endpoint: Endpoint) -> float:
        """Reserve the next connection; in how many seconds it may be made."""
        now = self._now()
        self._next = {known: at for known, at in self._next.items() if at > now}
        begins = self._next.get(endpoint, now)
        self._next[endpoint] = begins + self._between
        return begins - now
