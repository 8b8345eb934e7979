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
from libs.postgres.guarded_pool import LOST, GuardedPool, RoleConnection
from libs.postgres.liveness import SERVER_SETTINGS

# Texts, because asyncpg's classes are generic to the type checker only.
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "Session | PoolConnectionProxy[asyncpg.Record]"
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
    waits_for_disk: bool = True,
    plans_once: bool = False,
    connects: bool = True,
) -> Pool:
    """A pool of at most `size` connections that act as `role` in `schema`. Close it yourself.

    A statement has `statement_timeout` at the server and a little more at the client, in case the
    server is not there to stop it; `longest_statement` is the limit of those who set another one
    for their transaction. When the server does not answer at all, `acquired` and what is built on
    it raise `Unavailable` within 5 s, and at once from then on until it answers.

    `tenant_scope` is the tenant of every connection, `SYSTEM` sees all of them; without it rows
    under row-level security stay invisible outside of `tenant_transaction`. Durations of zero
    switch a timeout off. json and jsonb come and go as text. Without `waits_for_disk` a crash of
    the server may take the last moments' commits back, in their order and each as a whole: for
    what can be done again. With `plans_once` the plan of a statement does not depend on its
    parameters: to plan some takes longer than to run them. Raises `Unavailable` if the server
    cannot be reached; without `connects` that shows at the first use.

    The settings travel in the start-up packet: they are what `RESET ALL`, which the pool runs when
    a connection is returned, resets to. `role` alone is exempt from `RESET ALL`, so it is reset by
    its own command.
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
    if not waits_for_disk:
        settings["synchronous_commit"] = "off"
    if plans_once:
        settings["plan_cache_mode"] = "force_generic_plan"
    if role is not None:
        settings["role"] = role
    if tenant_scope is not None:
        settings["tillstream.tenant"] = tenant_scope
    limit = longest_statement or statement_timeout
    with translated(OSError):
        return await GuardedPool(
            dsn,
            size=size,
            connects=connects,
            command_seconds=(limit + NETWORK_TIME).total_seconds() if limit else None,
            server_settings=settings,
        )


@asynccontextmanager
async def acquired(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool; `Unavailable` if none is free in time or the server is away."""
    connection = await _taken(pool)
    try:
        with in_use(pool, connection):
            yield connection
    finally:
        await _give_back(pool, connection)


class HeldConnection:
    """A connection that one user holds for long: of `hold_connection`."""

    def __init__(self, pool: Pool, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._pool = pool
        self._connection = connection

    async def fetch(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- as asyncpg has it
    ) -> "list[asyncpg.Record]":
        with in_use(self._pool, self._connection):
            return await self._connection.fetch(query, *args, timeout=timeout)

    async def fetchrow(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- as asyncpg has it
    ) -> "asyncpg.Record | None":
        with in_use(self._pool, self._connection):
            return await self._connection.fetchrow(query, *args, timeout=timeout)

    async def fetchval(self, query: str, *args: Any) -> Any:
        with in_use(self._pool, self._connection):
            return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        with in_use(self._pool, self._connection):
            return await self._connection.execute(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        with in_use(self._pool, self._connection):
            await transaction.start()
        try:
            yield
        except BaseException:
            # Of a connection that is lost the server rolls back what was open.
            with suppress(Unavailable), in_use(self._pool, self._connection):
                await transaction.rollback()
            raise
        with in_use(self._pool, self._connection):
            await transaction.commit()


@asynccontextmanager
async def hold_connection(pool: Pool) -> AsyncIterator[HeldConnection]:
    """A connection of the pool for however long the block lasts, for example for a session lock.

    The breaker watches each statement instead of the whole time. Raises like `acquired`, and so
    does every statement.
    """
    connection = await _taken(pool)
    try:
        yield HeldConnection(pool, connection)
    finally:
        await _give_back(pool, connection)


@asynccontextmanager
async def held(pool: Pool) -> AsyncIterator[Connection]:
    """The same, for a caller that has it for long and uses it now and then, each time within
    `in_use`: the server counts as slow only while something waits for it.
    """
    connection = await _taken(pool)
    try:
        yield connection
    finally:
        await _give_back(pool, connection)


@asynccontextmanager
async def tenant_transaction(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A transaction that sees and writes the rows of one tenant only.

    Raises `ValueError` if `tenant` is empty or the system scope, `Unavailable` like `acquired`.
    """
    if not tenant or tenant == SYSTEM:
        raise ValueError("a tenant must be named")
    async with acquired(pool) as connection, connection.transaction():
        nothing_was_set(connection)
        await connection.execute("SELECT set_config('tillstream.tenant', $1, true)", tenant)
        yield connection


@asynccontextmanager
async def tenant_snapshot(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A read-only transaction in which all queries see the rows of one tenant at one moment.

    Raises like `tenant_transaction`.
    """
    if not tenant or tenant == SYSTEM:
        raise ValueError("a tenant must be named")
    async with (
        acquired(pool) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        nothing_was_set(connection)
        await connection.execute("SELECT set_config('tillstream.tenant', $1, true)", tenant)
        yield connection


@asynccontextmanager
async def tenant_reading(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A connection that sees the rows of one tenant only, for questions that need no transaction.

    It costs one round trip less before the first answer and two after the last than
    `tenant_transaction`, which matters to whoever waits for it. What was set is reset when the
    connection goes back, which nobody waits for. Raises like `tenant_transaction`.
    """
    if not tenant or tenant == SYSTEM:
        raise ValueError("a tenant must be named")
    connection = await _taken(pool)
    try:
        with in_use(pool, connection):
            await connection.execute("SELECT set_config('tillstream.tenant', $1, false)", tenant)
            yield connection
    finally:
        _going_back.add(task := asyncio.ensure_future(_give_back(pool, connection)))
        task.add_done_callback(_going_back.discard)


_going_back: set[asyncio.Future[None]] = set()


async def _give_back(pool: Pool, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
    # A connection that cannot be reset is terminated by the pool, and nobody's business any more.
    with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await pool.release(connection)


async def _taken(pool: Pool) -> "PoolConnectionProxy[asyncpg.Record]":
    deadline = asyncio.timeout(ACQUIRE_SECONDS)

    def abort() -> None:
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time())

    # Only while connecting: an OSError or a timeout in the caller's block is the caller's own.
    with translated(OSError), _operation(pool, abort):
        async with deadline:
            return await pool.acquire()


@contextmanager
def in_use(pool: Pool, connection: Any) -> Iterator[None]:
    """While the caller waits for the server. A broken one fails the statement under way at once.

    Raises `Unavailable`.
    """

    def abort() -> None:
        # Where the server closed it, the pool has it back already.
        with suppress(asyncpg.InterfaceError):
            connection.terminate()

    with translated(), _operation(pool, abort):
        began = monotonic()
        try:
            yield
        except TimeoutError as error:
            longest = pool.command_seconds if isinstance(pool, GuardedPool) else None
            # A shorter one is the caller's own.
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
def translated(*also: type[Exception]) -> Iterator[None]:
    """Raise `Unavailable` in place of what asyncpg raises when the server is away.

    `also` names further exceptions that mean so here.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, also) and not is_lost(error):
            raise
        raise Unavailable from error


def is_lost(error: BaseException) -> bool:
    """Whether `error` means that the server is away rather than that a query is wrong."""
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has no class of its own for using a connection that broke while nobody used it;
        # it takes such a one back to the pool by itself.
        return str(error).endswith(("connection is closed", "released back to the pool"))
    return isinstance(error, LOST)


def nothing_was_set(connection: Connection) -> None:
    """Say that whoever has the connection sets nothing in its session, in this turn.

    Then it goes back to the pool as it is, and a round trip is saved. What is set for a
    transaction only (`SET LOCAL`) ends with that.
    """
    inner = getattr(connection, "_con", connection)
    # Not isinstance: to asyncpg every connection is one of every class of connections.
    if type(inner) is RoleConnection:
        inner.as_it_was = True


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))
