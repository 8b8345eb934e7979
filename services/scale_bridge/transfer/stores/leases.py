"""Exclusive leases on devices, shared by all processes (R1); a dead holder's lease runs out."""

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
GIVE_BACK: Final = "DELETE FROM lease WHERE endpoint = $1 AND holder = $2"


class Leases:
    """Leases of `seconds`, by the database's clock."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self.seconds = seconds
        self._pool = pool
        self._length = timedelta(seconds=seconds)

    async def take(self, endpoint: Endpoint, holder: str) -> bool:
        """Take the lease; False if it is held. Raises Unavailable."""
        return await self._ask(TAKE, endpoint, holder)

    async def renew(self, endpoint: Endpoint, holder: str) -> bool:
        """Have it for longer; False if it ran out. Raises Unavailable."""
        return await self._ask(RENEW, endpoint, holder)

    async def release(self, endpoint: Endpoint, holder: str) -> None:
        """Let others speak; nothing if it ran out. Raises Unavailable."""
        async with acquire(self._pool) as connection:
            await connection.execute(GIVE_BACK, str(endpoint), holder)

    async def _ask(self, statement: str, endpoint: Endpoint, holder: str) -> bool:
        async with acquire(self._pool) as connection:
            got = await connection.fetchval(statement, str(endpoint), holder, self._length)
        return bool(got)
