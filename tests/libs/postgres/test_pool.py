"""The rights and settings of a pooled connection, before and after its return."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.operations import Operations

from libs.errors import Unavailable
from libs.postgres.pool import (
    SYSTEM,
    Pool,
    acquire,
    open_pool,
    skip_session_reset,
    tenant_connection,
    tenant_snapshot,
    tenant_transaction,
)
from libs.postgres.rls import application_role, enable_tenant_rls, grant

INSERT = "INSERT INTO box VALUES ($1, 'a')"


@pytest.fixture
async def service(admin: Any) -> AsyncIterator[str]:
    """A schema `<service>` with a table `box` with row-level security, owned by the login."""
    name = f"s{uuid4().hex[:12]}"
    role = application_role(name)
    statements: list[str] = []
    enable_tenant_rls(_Recorder(name, statements), "box")
    grant(_Recorder(name, statements), "box", "SELECT", "INSERT")
    await admin.execute(f"CREATE SCHEMA {name}; SET search_path = {name}")
    await admin.execute(f"CREATE ROLE {role} NOLOGIN; GRANT USAGE ON SCHEMA {name} TO {role}")
    await admin.execute("CREATE TABLE box (tenant text NOT NULL, code text NOT NULL)")
    await admin.execute(";".join(statements))
    yield name
    await admin.execute(f"DROP SCHEMA {name} CASCADE; DROP ROLE {role}")


class _Recorder(Operations):
    """Records the operations of a migration instead of running them."""

    def __init__(self, schema: str, statements: list[str]) -> None:
        self.schema, self.statements = schema, statements

    def execute(self, sqltext: Any, **_: Any) -> None:
        self.statements.append(sqltext)

    def get_context(self) -> Any:
        return type("Context", (), {"version_table_schema": self.schema})()


@asynccontextmanager
async def pool_of(database: str, service: str, **changed: Any) -> AsyncIterator[Pool]:
    given: dict[str, Any] = {
        "role": application_role(service),
        "schema": service,
        "size": 1,
        "application_name": "test",
    }
    pool = await open_pool(database, **(given | changed))
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.fixture
async def pool(database: str, service: str) -> AsyncIterator[Pool]:
    """A pool of one connection that sees one tenant at a time."""
    async with pool_of(database, service) as made:
        yield made


@pytest.fixture
async def filled(pool: Pool) -> Pool:
    """The pool; the tenants flora and other have one row each."""
    for tenant in ("flora", "other"):
        async with tenant_transaction(pool, tenant) as connection:
            await connection.execute(INSERT, tenant)
    return pool


async def test_a_connection_acts_as_the_role_in_the_schema_of_the_service(
    pool: Pool, service: str
) -> None:
    row = await pool.fetchrow(
        "SELECT current_user, current_schema, current_setting('application_name') AS name"
    )
    assert row is not None
    assert tuple(row) == (application_role(service), service, "test")
    for statement in ("CREATE TABLE mine ()", "DELETE FROM box"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_settings_of_a_session_do_not_reach_the_next_user(
    database: str, service: str
) -> None:
    ask = """SELECT pg_backend_pid(), current_user, current_schema,
        current_setting('tillstream.tenant', true), current_setting('lock_timeout'),
        current_setting('statement_timeout'), current_setting('TimeZone')"""
    async with pool_of(database, service, tenant_scope="flora") as pool:
        async with acquire(pool) as connection:
            before = await connection.fetchrow(ask)
            await connection.execute("SET ROLE NONE")
            await connection.execute("SET search_path = public")
            await connection.execute("SET tillstream.tenant = '*'")
            await connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            changed = await connection.fetchrow(ask)
        async with acquire(pool) as connection:
            after = await connection.fetchrow(ask)

    assert before is not None
    assert before[3:] == ("flora", "5s", "30s", "UTC")
    assert before == after != changed


async def test_without_a_tenant_no_row_is_visible_and_none_can_be_written(filled: Pool) -> None:
    assert await filled.fetchval("SELECT count(*) FROM box") == 0
    for tenant in ("flora", "", "*"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await filled.execute(INSERT, tenant)


async def test_a_tenant_sees_and_writes_its_own_rows_only(filled: Pool) -> None:
    async with tenant_transaction(filled, "flora") as connection:
        seen = await connection.fetch("SELECT tenant FROM box")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(INSERT, "other")

    assert [row["tenant"] for row in seen] == ["flora"]


@pytest.mark.usefixtures("filled")
async def test_the_system_scope_sees_every_tenant(database: str, service: str) -> None:
    async with pool_of(database, service, tenant_scope=SYSTEM) as system:
        assert await system.fetchval("SELECT count(*) FROM box") == 2


async def test_a_skipped_reset_applies_to_one_use_only(pool: Pool, service: str) -> None:
    async with acquire(pool) as connection:
        skip_session_reset(connection)
        # Not nothing, to see that it is left alone.
        await connection.execute("SET search_path = public")
    for schema in ("public", service):
        async with acquire(pool) as connection:
            assert await connection.fetchval("SHOW search_path") == schema


async def test_an_open_transaction_ends_although_the_reset_is_skipped(pool: Pool) -> None:
    async with acquire(pool) as connection:
        skip_session_reset(connection)
        await connection.execute("BEGIN")
        await connection.execute("SELECT set_config('tillstream.tenant', 'flora', true)")
        await connection.execute(INSERT, "flora")

    async with tenant_transaction(pool, "flora") as connection:
        assert await connection.fetchval("SELECT count(*) FROM box") == 0


async def test_a_tenant_connection_sees_one_tenant_and_leaves_no_setting(filled: Pool) -> None:
    for tenant in ("flora", "other"):
        async with tenant_connection(filled, tenant) as connection:
            seen = await connection.fetch("SELECT tenant FROM box")
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        assert [row["tenant"] for row in seen] == [tenant]
        async with acquire(filled) as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == pid
            assert await connection.fetchval("SELECT count(*) FROM box") == 0


@pytest.mark.parametrize("opened", [tenant_transaction, tenant_snapshot, tenant_connection])
@pytest.mark.parametrize("tenant", ["o'hara", "a', true); DROP TABLE box; --", "back\\slash\\'"])
async def test_the_name_of_a_tenant_is_never_part_of_a_statement(
    filled: Pool, tenant: str, opened: Any
) -> None:
    async with opened(filled, tenant) as connection:
        assert await connection.fetchval("SELECT current_setting('tillstream.tenant')") == tenant
        assert await connection.fetch("SELECT tenant FROM box") == []


@pytest.mark.parametrize("opened", [tenant_transaction, tenant_connection])
@pytest.mark.parametrize("tenant", ["", SYSTEM])
async def test_a_tenant_cannot_be_empty_or_the_system(pool: Pool, tenant: str, opened: Any) -> None:
    with pytest.raises(ValueError, match="tenant"):
        async with opened(pool, tenant):
            pass


async def reading(pool: Pool, cut: Callable[[int], Awaitable[object]]) -> None:
    async with tenant_connection(pool, "flora") as connection:
        await cut(await connection.fetchval("SELECT pg_backend_pid()"))
        await connection.fetch("SELECT * FROM box")


async def holding(pool: Pool, cut: Callable[[int], Awaitable[object]]) -> None:
    async with acquire(pool) as connection:
        await cut(await connection.fetchval("SELECT pg_backend_pid()"))
        await connection.fetchval("SELECT 1")


async def ending(pool: Pool, cut: Callable[[int], Awaitable[object]]) -> None:
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    async with tenant_transaction(pool, "flora"):
        await cut(pid)


@pytest.mark.parametrize("use", [reading, holding, ending])
async def test_a_lost_connection_raises_unavailable_and_is_replaced(
    pool: Pool, admin: Any, use: Any
) -> None:
    lost: list[int] = []

    async def cut(pid: int) -> None:
        lost.append(pid)
        await admin.execute("SELECT pg_terminate_backend($1, 5000)", pid)

    with pytest.raises(Unavailable):
        await use(pool, cut)

    async with acquire(pool) as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") not in lost
    async with tenant_connection(pool, "flora") as connection:
        assert await connection.fetch("SELECT * FROM box") == []


async def test_an_unreachable_server_is_unavailable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for nowhere in (f"postgresql://till@127.0.0.1:{port}/x", "postgresql://x@/x?host=/nowhere"):
            with pytest.raises(Unavailable):
                async with pool_of(nowhere, "s"):
                    pass


async def test_an_exhausted_pool_is_unavailable(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.pool.ACQUIRE_SECONDS", 0.1)
    async with pool.acquire():
        with pytest.raises(Unavailable):
            async with acquire(pool):
                pass


async def test_errors_of_the_caller_pass_through_unchanged(pool: Pool) -> None:
    for error in (TimeoutError(), FileNotFoundError(), KeyError()):
        with pytest.raises(type(error)):
            async with acquire(pool):
                raise error
    with pytest.raises(asyncpg.UndefinedTableError):
        async with acquire(pool) as connection:
            await connection.execute("SELECT * FROM nowhere")


async def test_a_statement_cannot_run_for_ever(database: str, service: str) -> None:
    async with pool_of(database, service, statement_timeout=timedelta(seconds=1)) as pool:
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(60)")


async def test_json_is_sent_and_received_as_text(pool: Pool) -> None:
    assert await pool.fetchval("SELECT $1::jsonb", '{"a":1}') == '{"a": 1}'


async def test_a_pool_never_has_more_connections_than_its_size(database: str, service: str) -> None:
    async with pool_of(database, service, size=2) as pool:
        await asyncio.gather(*(pool.execute("SELECT pg_sleep(0.01)") for _ in range(10)))

        assert pool.get_size() == 2


@pytest.mark.parametrize("use", [acquire, partial(tenant_connection, tenant="demo")])
async def test_a_connection_that_breaks_while_it_is_returned_fails_no_request(
    database: str, service: str, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 11")

    faults: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    async with pool_of(database, service) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(pool, "release", break_off)
            async with use(pool) as connection:
                answer = await connection.fetchval("SELECT 1")
            await asyncio.sleep(0)
            gc.collect()
        pool.terminate()
    loop.set_exception_handler(None)

    assert (answer, faults) == (1, [])
