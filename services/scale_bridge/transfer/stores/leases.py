"""Exclusive leases on devices, shared by all processes (R1). A lease expires."""

from datetime import timedelta
from typing import Final

from libs.postgres.pool import Pool, acquire
from services.scale_bridge.driver.domain.address import Endpoint

TAKE: Final = """
INSERT INTO lease AS held (endpoint, holder, until) VALUES ($1, $2, now() + $3::interval)
ON CONFLICT (endpoint) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE held.until <= now() OR held.holder = excluded.holder
RETURNING true
"""
RENEW: Final = """
UPDATE lease SET until = now() + $3::interval
WHERE endpoint = $1 AND holder = $2 AND until > now() RETURNING true
"""
RELEASE: Final = "DELETE FROM lease WHERE endpoint = $1 AND holder = $2"


class Leases:
    """Leases of `seconds`, by the clock of the database."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self.seconds = seconds
        self._pool = pool
        self._length = timedelta(seconds=seconds)

    async def take(self, endpoint: Endpoint, holder: str) -> bool:
        """Take the lease; False if another holder has it. Raises Unavailable."""
        return await self._extend(TAKE, endpoint, holder)

    async def renew(self, endpoint: Endpoint, holder: str) -> bool:
        """Extend the lease; False if it has expired. Raises Unavailable."""
        return await self._extend(RENEW, endpoint, holder)

    async def release(self, endpoint: Endpoint, holder: str) -> None:
        """Release the lease; nothing if it has expired. Raises Unavailable."""
        async with acquire(self._pool) as connection:
            await connection.execute(RELEASE, str(endpoint), holder)

    async def _extend(self, statement: str, endpoint: Endpoint, holder: str) -> bool:
        async with acquire(self._pool) as connection:
            held = await connection.fetchval(statement, str(endpoint), holder, self._length)
        return bool(held)
