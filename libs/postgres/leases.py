"""Exclusive leases by name, shared by all processes. A lease expires."""

from datetime import timedelta
from typing import Final

from libs.postgres import query
from libs.postgres.pool import Pool
from libs.postgres.rls import Migration, create_tables

TABLES: Final = {
    "lease": """(
        endpoint text PRIMARY KEY,
        holder text NOT NULL,
        until timestamptz NOT NULL
    ) WITH (fillfactor = 50)"""
}

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


def create_leases(op: Migration) -> None:
    """Create the table; its rows belong to no tenant."""
    create_tables(op, TABLES)


class Leases:
    """Leases of `seconds`, by the clock of the database. The text of a name is its key.

    They are rows of the table `lease (endpoint, holder, until)`: see `create_leases`.
    """

    def __init__(self, pool: Pool, seconds: float) -> None:
        self.seconds = seconds
        self._pool = pool
        self._length = timedelta(seconds=seconds)

    async def take(self, name: object, holder: str) -> bool:
        """Take the lease; False if another holder has it. Raises Unavailable."""
        return await self._extend(TAKE, name, holder)

    async def renew(self, name: object, holder: str) -> bool:
        """Extend the lease; False if it has expired. Raises Unavailable."""
        return await self._extend(RENEW, name, holder)

    async def release(self, name: object, holder: str) -> None:
        """Release the lease; nothing if it has expired. Raises Unavailable."""
        await query.execute(self._pool, RELEASE, str(name), holder)

    async def _extend(self, statement: str, name: object, holder: str) -> bool:
        held = await query.fetchval(self._pool, statement, str(name), holder, self._length)
        return bool(held)
