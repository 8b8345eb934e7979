"""Advisory locks that serialise decisions across streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from libs.errors import Unavailable
from libs.postgres.pool import Pool, acquire

TAKE: Final = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) AS name ORDER BY 1)
"""
"""Take the locks of these names, always in the same order, until the transaction ends."""


class AdvisoryLock:
    """Locks by name, shared by all processes on this database.

    A process waits with one connection at most, so that the holder of the lock has one to write.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._here = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold the locks `names`. Raises Unavailable after the database's lock timeout."""
        async with (
            self._here,
            acquire(self._pool) as connection,
            connection.transaction(),
        ):
            try:
                await connection.execute(TAKE, names)
            except asyncpg.LockNotAvailableError as error:
                raise Unavailable from error
            yield
