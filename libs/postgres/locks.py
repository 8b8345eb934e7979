"""Advisory locks that serialise decisions across streams."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from libs.errors import Unavailable
from libs.postgres.pool import Connection, Pool, acquire

TAKE: Final = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) AS name ORDER BY 1)
"""
"""Take the locks of these names, always in the same order, until the transaction ends."""


class AdvisoryLock:
    """Locks by name, shared by all processes on this database.

    A process waits with `connections` at most, by default one, so that the holder of a lock has one
    to write.
    """

    def __init__(self, pool: Pool, *, connections: int = 1) -> None:
        self._pool = pool
        self._here = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold the locks `names`. Raises Unavailable after the database's lock timeout."""
        async with (
            self._here,
            acquire(self._pool) as connection,
            connection.transaction(),
        ):
            await _take(connection, names)
            yield

    async def wait(self, *names: str) -> None:
        """Wait until all that hold the locks, or have waited for them, are done.

        Raises Unavailable after the database's lock timeout.
        """
        async with self._here, acquire(self._pool) as connection:
            await _take(connection, names)


async def _take(connection: Connection, names: Sequence[str]) -> None:
    try:
        await connection.execute(TAKE, names)
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable from error
