"""A pool of connections behind a circuit breaker, and the connections it holds."""

import asyncio
from typing import Any

import asyncpg

from libs.postgres import breaker
from libs.postgres.breaker import CircuitBreaker
from libs.postgres.liveness import LiveConnection

CONNECT_SECONDS = 5.0
RELEASE_SECONDS = 2.0
CLOSE_SECONDS = 1.0
UNUSED_SECONDS = 30.0
"""A connection that was not used for so long is closed: it costs the server two megabytes."""

LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    # What asyncpg says when it tidies up a connection that broke in the middle of a query.
    asyncpg.InternalClientError,
    # A primary that became a standby; a new connection finds the new primary.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when the server is away, closing, starting or full. Safe to try again later,
unless a commit was under way, whose fate is then unknown."""


class GuardedPool(asyncpg.Pool):
    """A pool with a circuit breaker before the server; closing it takes bounded time."""

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        connects: bool,
        command_seconds: float | None,
        server_settings: dict[str, str],
    ) -> None:
        super().__init__(
            dsn,
            min_size=0,
            init_size=int(connects),
            max_size=size,
            max_queries=50_000,
            max_inactive_connection_lifetime=UNUSED_SECONDS,
            loop=None,
            connection_class=RoleConnection,
            record_class=asyncpg.Record,
            timeout=CONNECT_SECONDS,
            command_timeout=command_seconds,
            server_settings=server_settings,
        )
        self.command_seconds = command_seconds
        self.breaker = CircuitBreaker(lambda: _answers(dsn), self.expire_connections)

    async def release(
        self,
        connection: Any,
        *,
        timeout: float | None = RELEASE_SECONDS,  # noqa: ASYNC109 -- theirs
    ) -> None:
        """Give a connection back; one that cannot be put in order in time is terminated."""
        await super().release(connection, timeout=timeout)

    async def close(self) -> None:
        """Wait for those who have a connection, but not for ever."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().close()
        except TimeoutError:
            self.terminate()
        self.breaker.close()

    def terminate(self) -> None:
        """Cut all connections."""
        self.breaker.close()
        super().terminate()


async def _answers(dsn: str) -> bool:
    """Whether the server accepts a connection; that it is full is an answer too."""
    try:
        async with asyncio.timeout(breaker.PROBE_SECONDS):
            connection = await asyncpg.connect(dsn, connection_class=LiveConnection)
            await connection.close()
    except asyncpg.TooManyConnectionsError:
        return True
    except (OSError, *LOST):
        return False
    except asyncpg.PostgresError:
        return True
    return True


class RoleConnection(LiveConnection):
    """A connection that acts as a role, and goes back to the pool as it came.

    With `as_it_was` its user set nothing in the session, so most of the reset is left out.
    """

    as_it_was = False

    def get_reset_query(self) -> str:
        """Also the role, which `RESET ALL` leaves."""
        return f"{super().get_reset_query()}\nRESET ROLE;"

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- theirs
        """Put the session in order."""
        if self.as_it_was:
            self.as_it_was = False
            # Only what the session itself must not keep: a transaction left open.
            await self._reset()
        else:
            await super().reset(timeout=timeout)
