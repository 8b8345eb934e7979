"""A server that is dead, frozen or unreachable fails operations soon, then at once."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from deploy.local.ports import free_port
from libs.errors import Unavailable
from libs.postgres import breaker
from libs.postgres.pool import SYSTEM, Pool, acquire, open_pool, tenant_connection
from libs.testing.polling import eventually
from tests.chaos.proxy import Proxy

SOON = 15.0
"""Far below the statement timeout, and enough for a busy machine."""
FOR_LONG = "SELECT pg_sleep(20)"


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server."""
    port = int(database.rpartition(":")[2].partition("/")[0])
    async with Proxy(free_port(), port) as opened:
        yield opened


@asynccontextmanager
async def pool_at(url: str, *, size: int = 2, **options: Any) -> AsyncIterator[Pool]:
    given: dict[str, Any] = {
        "role": None,
        "schema": "public",
        "application_name": "test",
        "tenant_scope": SYSTEM,
    }
    pool = await open_pool(url, size=size, **(given | options))
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.fixture
async def pool(database: str, proxy: Proxy) -> AsyncIterator[Pool]:
    """Two connections through the proxy."""
    head, _, tail = database.rpartition("@")
    async with pool_at(f"{head}@{proxy.address}/{tail.partition('/')[2]}") as opened:
        yield opened


async def ask(pool: Pool, query: str = "SELECT 1") -> Any:
    async with acquire(pool) as connection:
        return await connection.fetchval(query)


async def ask_as_tenant(pool: Pool) -> None:
    async with tenant_connection(pool, "demo") as connection:
        await connection.fetchval("SELECT 1")


async def answers(pool: Pool) -> bool:
    with suppress(Unavailable):
        return bool(await ask(pool))
    return False


async def test_a_silent_server_fails_waiting_operations_and_then_new_ones_at_once(
    pool: Pool, proxy: Proxy
) -> None:
    assert await ask(pool) == 1
    proxy.swallows = True

    # Two have a connection, one of them in the middle of a statement; the others wait for one.
    async with asyncio.timeout(SOON):
        waiting = [ask(pool, FOR_LONG), ask_as_tenant(pool), ask(pool), ask(pool)]
        fates = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(fate) for fate in fates] == [Unavailable] * 4

    before = proxy.passed
    async with asyncio.timeout(SOON):
        for _ in range(200):
            with pytest.raises(Unavailable) as refused:
                await ask(pool)
            assert refused.value.retry_after_seconds > 0
    assert proxy.passed == before

    proxy.swallows = False
    await eventually(lambda: answers(pool))


async def test_a_slow_statement_of_a_server_that_answers_is_left_alone(
    pool: Pool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(breaker, "SLOW_SECONDS", 0.05)
    before = proxy.passed

    assert await ask(pool, "SELECT 1 FROM pg_sleep(1)") == 1

    # It was probed meanwhile, on connections of their own.
    assert proxy.passed > before + 1000


async def test_a_frozen_backend_is_abandoned_after_the_statement_timeout(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.pool.NETWORK_TIME", timedelta(seconds=1))
    async with pool_at(database, statement_timeout=timedelta(seconds=1)) as pool:
        async with acquire(pool) as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(SOON):
                with pytest.raises(Unavailable):
                    await ask(pool)
                # The next one does not get it.
                assert await ask(pool) == 1
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_both_ends_notice_a_vanished_peer(database: str) -> None:
    async with pool_at(database) as pool, pool.acquire() as pooled:
        connection: Any = pooled
        rows = await connection.fetch(
            "SELECT setting, source FROM pg_settings WHERE name ~ '^tcp_' ORDER BY name"
        )
        link = connection._con._transport.get_extra_info("socket")
        ours = [
            link.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        ]

    # Of count, idle, interval and user_timeout, asked for by the client.
    assert [tuple(row) for row in rows] == [(each, "client") for each in ("3", "5", "2", "10000")]
    assert ours == [5, 2, 3, 10_000]


@pytest.mark.parametrize("silent", [False, True], ids=["busy", "silent"])
async def test_a_pool_closes_although_a_connection_is_in_use_or_silent(
    pool: Pool, proxy: Proxy, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.guarded_pool.CLOSE_SECONDS", 0.2)
    async with pool.acquire() as connection:
        proxy.swallows = silent
        asking = asyncio.create_task(connection.fetchval(FOR_LONG))
        await asyncio.sleep(0)
        async with asyncio.timeout(SOON):
            await pool.close()
            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError, OSError)):
                await asking
