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
"""Unused connections are closed after this time: each costs the server two megabytes."""

LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    # Raised by asyncpg when it cleans up a connection that broke in the middle of a query.
    asyncpg.InternalClientError,
    # A primary that became a standby; a new connection finds the new primary.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
)
"""Errors of asyncpg when the server is away, closing, starting or full. Safe to retry, unless a
commit was in progress: then its outcome is unknown."""

ANY_ERROR = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""All that a statement may raise, whether the server is away or refuses it."""


class GuardedPool(asyncpg.Pool):
    """A pool with a circuit breaker before the server; closing it takes bounded time."""

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        connect_now: bool,
        command_seconds: float | None,
        settings: dict[str, str],
    ) -> None:
        super().__init__(
            dsn,
            min_size=0,
            init_size=int(connect_now),
            max_size=size,
            max_queries=50_000,
            max_inactive_connection_lifetime=UNUSED_SECONDS,
            loop=None,
            connection_class=RoleConnection,
            record_class=asyncpg.Record,
            timeout=CONNECT_SECONDS,
            command_timeout=command_seconds,
            server_settings=settings,
        )
        self.command_seconds = command_seconds
        self.breaker = CircuitBreaker(lambda: _answers(dsn), self.expire_connections)

    async def release(
        self,
        connection: Any,
        *,
        timeout: float | None = RELEASE_SECONDS,  # noqa: ASYNC109 -- theirs
    ) -> None:
        """Return a connection to the pool; terminate it if it cannot be reset in time."""
        await super().release(connection, timeout=timeout)

    async def close(self) -> None:
        """Wait until all connections are returned, for at most `CLOSE_SECONDS`."""
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
    """Whether the server answers a connection attempt, even with an error such as being full."""
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
    """A connection that acts as a role and is reset when it returns to the pool.

    With `skip_reset` its user set nothing in the session, so most of the reset is left out.
    """

    skip_reset = False

    def get_reset_query(self) -> str:
        """Reset the role too, which `RESET ALL` leaves."""
        return f"{super().get_reset_query()}\nRESET ROLE;"

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- theirs
        """Reset the session."""
        if self.skip_reset:
            self.skip_reset = False
            # Only roll back a transaction that was left open.
            await self._reset()
        else:
            await super().reset(timeout=timeout)
