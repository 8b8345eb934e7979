"""The rate of connections to each scale, over all processes, operations and attempts (R3).

The weakest scales need about a second between two connections: each connection is reserved first.
"""

from datetime import timedelta
from typing import Final

from libs.postgres import query
from libs.postgres.pool import Pool
from services.scale_bridge.driver.domain.address import Endpoint

CONNECTION_SECONDS: Final = 1.0
"""Between two connections to a scale."""

RESERVE: Final = """
INSERT INTO pace AS known (endpoint, next_at) VALUES ($1, now() + $2::interval)
ON CONFLICT (endpoint) DO UPDATE SET next_at = greatest(known.next_at, now()) + $2::interval
RETURNING next_at - $2::interval - now()
"""
FORGET: Final = "DELETE FROM pace WHERE next_at < now() - interval '1 hour'"


class RateLimits:
    """One connection per scale in `seconds`, by the clock of the database; with 0 no limit."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._interval = timedelta(seconds=seconds)

    async def reserve(self, endpoint: Endpoint) -> float:
        """Reserve the next connection; returns the seconds to wait for it. Raises Unavailable."""
        if not self._interval:
            return 0.0
        wait: timedelta = await query.fetchval(self._pool, RESERVE, str(endpoint), self._interval)
        return wait.total_seconds()


async def tidy(pool: Pool) -> None:
    """Delete the rows of scales without a connection in the last hour. Raises Unavailable."""
    await query.execute(pool, FORGET)
