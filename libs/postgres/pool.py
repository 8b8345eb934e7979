"""Connections to Postgres, with only the rights of the service and only one tenant's rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from time import monotonic
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from libs.errors import Unavailable
from libs.postgres.guarded_pool import ANY_ERROR, LOST, GuardedPool, RoleConnection
from libs.postgres.liveness import SERVER_SETTINGS

# Texts, because asyncpg's classes are generic to the type checker only.
RawConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "RawConnection | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

SYSTEM = "*"
"""The tenant scope that sees the rows of every tenant: for relay, projectors and rebuilds."""

LOCK_TIMEOUT = timedelta(seconds=5)
STATEMENT_TIMEOUT = timedelta(seconds=30)
IDLE_TIMEOUT = timedelta(seconds=60)
ACQUIRE_SECONDS = 5.0
NETWORK_TIME = timedelta(seconds=5)
"""What a client waits beyond the server's own limit of a statement."""


async def open_pool(
    dsn: str,
    *,
    role: str | None,
    schema: str,
    size: int,
    application_name: str,
    tenant_scope: str | None = None,
    statement_timeout: timedelta = STATEMENT_TIMEOUT,
    longest_statement: timedelta | None = None,
    synchronous_commit: bool = True,
    generic_plans: bool = False,
    connect_now: bool = True,
) -> Pool:
    """Open a pool of at most `size` connections that act as `role` in `schema`. Close it yourself.

    `tenant_scope` is the tenant of every connection, `SYSTEM` sees all tenants; without it, rows
    under row-level security are visible in `tenant_transaction` only. `longest_statement` is the
    limit for transactions that set a statement timeout of their own. A timeout of zero means none.
    Without `synchronous_commit` a crash of the server may lose the last commits, in order and each
    as a whole. With `generic_plans` a plan does not depend on the parameters of its statement.
    json and jsonb are text. Raises `Unavailable` if the server cannot be reached; without
    `connect_now` the first use does.
    """
    settings = _session_settings(role, schema, application_name, tenant_scope, statement_timeout)
    if not synchronous_commit:
        settings["synchronous_commit"] = "off"
    if generic_plans:
        # To plan some statements takes longer than to run them.
        settings["plan_cache_mode"] = "force_generic_plan"
    limit = longest_statement or statement_timeout
    # A little longer than the server's own limit, in case the server is gone.
    seconds = (limit + NETWORK_TIME).total_seconds() if limit else None
    with unavailable_if_lost(OSError):
        return await GuardedPool(
            dsn, size=size, connect_now=connect_now, command_seconds=seconds, settings=settings
        )


def _session_settings(
    role: str | None,
    schema: str,
    application_name: str,
    tenant_scope: str | None,
    statement_timeout: timedelta,
) -> dict[str, str]:
    """The settings in the start-up packet.

    `RESET ALL`, which the pool runs when a connection is returned, resets to these. `role` alone is
    exempt from `RESET ALL`, so it is reset by its own command.
    """
    settings = {
        "application_name": application_name,
        "search_path": schema,
        "lock_timeout": _milliseconds(LOCK_TIMEOUT),
        "statement_timeout": _milliseconds(statement_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_TIMEOUT),
        "timezone": "UTC",
        **SERVER_SETTINGS,
    }
    if role is not None:
        settings["role"] = role
    if tenant_scope is not None:
        settings["tillstream.tenant"] = tenant_scope
    return settings


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool.

    Raises `Unavailable` if none is free in time, or within 5 s if the server does not answer, and
    at once from then on until it answers.
    """
    connection = await _acquire(pool)
    try:
        with guard(pool, connection):
            yield connection
    finally:
        await _release(pool, connection)


class HeldConnection:
    """A connection that one user holds for long; see `hold_connection`."""

    def __init__(self, pool: Pool, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._pool = pool
        self._connection = connection

    async def fetch(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- as asyncpg has it
    ) -> "list[asyncpg.Record]":
        with guard(self._pool, self._connection):
            return await self._connection.fetch(query, *args, timeout=timeout)

    async def fetchrow(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- as asyncpg has it
    ) -> "asyncpg.Record | None":
        with guard(self._pool, self._connection):
            return await self._connection.fetchrow(query, *args, timeout=timeout)

    async def fetchval(self, query: str, *args: Any) -> Any:
        with guard(self._pool, self._connection):
            return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        with guard(self._pool, self._connection):
            return await self._connection.execute(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        with guard(self._pool, self._connection):
            await transaction.start()
        try:
            yield
        except BaseException:
            # If the connection is lost, the server rolls back by itself.
            with suppress(Unavailable), guard(self._pool, self._connection):
                await transaction.rollback()
            raise
        with guard(self._pool, self._connection):
            await transaction.commit()


@asynccontextmanager
async def hold_connection(pool: Pool) -> AsyncIterator[HeldConnection]:
    """A connection held for as long as the block lasts, for example for a session lock.

    The circuit breaker watches each statement, not the whole block. Raises like `acquire`, and so
    does every statement.
    """
    connection = await _acquire(pool)
    try:
        yield HeldConnection(pool, connection)
    finally:
        await _release(pool, connection)


@asynccontextmanager
async def hold_raw_connection(pool: Pool) -> AsyncIterator[Connection]:
    """Like `hold_connection`, without the wrapper: the caller puts every use within `guard`."""
    connection = await _acquire(pool)
    try:
        yield connection
    finally:
        await _release(pool, connection)


@asynccontextmanager
async def tenant_transaction(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A transaction that sees and writes the rows of one tenant only.

    Raises `ValueError` if `tenant` is empty or the system scope, `Unavailable` like `acquire`.
    """
    async with acquire(pool) as connection, _scoped_transaction(connection, tenant):
        yield connection


@asynccontextmanager
async def tenant_snapshot(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A read-only transaction in which all queries see the rows of one tenant at one moment.

    Raises like `tenant_transaction`.
    """
    options: dict[str, Any] = {"isolation": "repeatable_read", "readonly": True}
    async with acquire(pool) as connection, _scoped_transaction(connection, tenant, **options):
        yield connection


@asynccontextmanager
async def _scoped_transaction(
    connection: Connection, tenant: str, **options: Any
) -> AsyncIterator[None]:
    if not tenant or tenant == SYSTEM or "\0" in tenant:
        raise ValueError("a tenant must be named")
    skip_session_reset(connection)
    quoted = tenant.replace("'", "''")
    # In the round trip of BEGIN; see `skip_session_reset` for the connection's class.
    inner: Any = getattr(connection, "_con", connection)
    inner.begin_with = f"SELECT set_config('tillstream.tenant', '{quoted}', true)"
    async with connection.transaction(**options):
        yield


@asynccontextmanager
async def tenant_connection(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A connection that sees the rows of one tenant only, for queries that need no transaction.

    It saves one round trip before the first query and two after the last, compared with
    `tenant_transaction`. The connection is reset and returned in the background. Raises like
    `tenant_transaction`.
    """
    if not tenant or tenant == SYSTEM:
        raise ValueError("a tenant must be named")
    connection = await _acquire(pool)
    try:
        with guard(pool, connection):
            await connection.execute("SELECT set_config('tillstream.tenant', $1, false)", tenant)
            yield connection
    finally:
        _releases.add(task := asyncio.ensure_future(_release(pool, connection)))
        task.add_done_callback(_releases.discard)


_releases: set[asyncio.Future[None]] = set()


async def _release(pool: Pool, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
    # A connection that cannot be reset is terminated by the pool.
    with suppress(*ANY_ERROR):
        await pool.release(connection)


async def _acquire(pool: Pool) -> "PoolConnectionProxy[asyncpg.Record]":
    deadline = asyncio.timeout(ACQUIRE_SECONDS)

    def abort() -> None:
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time())

    # Only while connecting: an OSError or a timeout in the caller's block is the caller's own.
    with unavailable_if_lost(OSError), _operation(pool, abort):
        async with deadline:
            return await pool.acquire()


@contextmanager
def guard(pool: Pool, connection: Any) -> Iterator[None]:
    """Watch a use of the connection: if the server stops answering, the statement fails at once.

    Raises `Unavailable`.
    """

    def abort() -> None:
        # If the server closed the connection, the pool has it back already.
        with suppress(asyncpg.InterfaceError):
            connection.terminate()

    with unavailable_if_lost(), _operation(pool, abort):
        began = monotonic()
        try:
            yield
        except TimeoutError as error:
            longest = pool.command_seconds if isinstance(pool, GuardedPool) else None
            # A shorter timeout is the caller's own.
            if longest is None or monotonic() - began < longest:
                raise
            raise Unavailable from error


@contextmanager
def _operation(pool: Pool, abort: Callable[[], object]) -> Iterator[None]:
    if isinstance(pool, GuardedPool):
        with pool.breaker.operation(abort):
            yield
    else:
        yield


@contextmanager
def unavailable_if_lost(*also: type[Exception]) -> Iterator[None]:
    """Raise `Unavailable` in place of what asyncpg raises when the server is away.

    `also` names further exceptions that mean the same here.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, also) and not is_connection_lost(error):
            raise
        raise Unavailable from error


def is_connection_lost(error: BaseException) -> bool:
    """Whether `error` means that the server is away rather than that a query is wrong."""
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has no class for the use of a connection that broke while it was idle; it returns
        # such a connection to the pool by itself.
        return str(error).endswith(("connection is closed", "released back to the pool"))
    return isinstance(error, LOST)


def skip_session_reset(connection: Connection) -> None:
    """Return the connection to the pool without a reset, which saves a round trip.

    The caller must set nothing in the session. `SET LOCAL` is allowed: it ends with its
    transaction.
    """
    inner = getattr(connection, "_con", connection)
    # Not isinstance: asyncpg's proxies are instances of every connection class.
    if type(inner) is RoleConnection:
        inner.skip_reset = True


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))
