"""Commands on several streams in several processes, some of which are killed."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from libs.eventsourcing.execute_many import (
    LOCKED_ATTEMPTS,
    OPTIMISTIC_ATTEMPTS,
)
from libs.eventsourcing.postgres import PostgresLog
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.eventsourcing.events import everything
from tests.libs.eventsourcing.stock import (
    Shop,
    pairs,
    reservations,
)


async def test_many_commands_on_random_pairs_of_streams_in_several_processes_lose_no_piece(
    database: str, pool: asyncpg.Pool
) -> None:
    items = ["a", "b", "c", "d", "e"]
    async with asyncpg.create_pool(database, min_size=0, max_size=8) as other:
        processes = [Shop(PostgresLog(each)) for each in (pool, other, pool)]
        await processes[0].stock(*items, pieces=30)

        sold = await asyncio.gather(
            *(shop.sold(pairs(items, 100, seed)) for seed, shop in enumerate(processes))
        )

    reserved = await reservations(processes[0].store.log)
    assert sum(reserved.values()) == 2 * sum(sold)
    assert sum(reserved.values()) > 100
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await pool.fetchval(deadlocks) == 0


@asynccontextmanager
async def program(*arguments: str, failpoint: str = "") -> AsyncIterator[Process]:
    """The program of `stock`; it is killed at the end if it still runs."""
    environment = {"TILLSTREAM_PROFILE": "test", "TILLSTREAM_FAILPOINT": failpoint}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.libs.eventsourcing.stock", *arguments),
        stdout=PIPE,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def output(process: Process) -> list[list[str]]:
    """The words of each complete line of the program."""
    text, _ = await process.communicate()
    return [line.split() for line in text.decode().splitlines(keepends=True) if line[-1] == "\n"]


async def test_of_a_thousand_buyers_in_two_processes_ten_get_the_ten_pieces(
    database: str, pool: asyncpg.Pool
) -> None:
    shop = Shop(PostgresLog(pool))
    await shop.stock("a", pieces=10)

    async with program(database, "500", "a") as one, program(database, "500", "a") as two:
        lines = [*await output(one), *await output(two)]

    outcomes = [words[0] for words in lines]
    assert (outcomes.count("placed"), outcomes.count("sold-out")) == (10, 990)
    assert await reservations(shop.store.log) == {"a": 10}
    decided = sum(int(words[1]) for words in lines if words[0] == "decided")
    # Each refusal is decided on the cached and the log's state, each sale may have conflicts.
    assert decided <= 2 * 1000 + 10 * (OPTIMISTIC_ATTEMPTS + LOCKED_ATTEMPTS)


async def test_no_process_starves_while_others_use_the_same_stream_without_pause(
    database: str, pool: asyncpg.Pool
) -> None:
    shop, orders, processes = Shop(PostgresLog(pool)), 400, 4
    await shop.stock("a", pieces=orders * processes)

    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(program(database, str(orders), "a"))
            for _ in range(processes)
        ]
        outputs = await asyncio.gather(*map(output, started))

    lines = [words for lines in outputs for words in lines]
    assert [words[0] for words in lines].count("placed") == orders * processes
    assert await reservations(shop.store.log) == {"a": orders * processes}
    decided = sum(int(words[1]) for words in lines if words[0] == "decided")
    assert decided <= 4 * orders * processes


@pytest.mark.parametrize(
    "failpoint",
    ["group-writing@3", "group-written@3", "log-appending@70", "log-appended@70", ""],
)
async def test_a_process_that_is_killed_leaves_whole_orders_and_all_that_it_confirmed(
    database: str, pool: asyncpg.Pool, failpoint: str
) -> None:
    shop, items = Shop(PostgresLog(pool)), ["a", "b", "c", "d", "e"]
    await shop.stock(*items, pieces=10_000)
    name, _, count = failpoint.partition("@")
    at = f"{name}=kill@{count}" if name else ""

    async with program(database, "10000", *items, failpoint=at) as victim:
        printing = asyncio.create_task(output(victim))
        if not name:
            await eventually(lambda: _orders(pool), what="orders")
            victim.kill()
        lines = await printing

    assert victim.returncode == -9
    await _rest(pool)
    reserved = await reservations(shop.store.log)
    placed = {one.stream for one in await everything(shop.store.log)}
    assert {f"order-{words[1]}" for words in lines if words[0] == "placed"} <= placed
    # The others go on as if nothing had been.
    assert await shop.sold(pairs(items, 20)) == 20
    assert sum((await reservations(shop.store.log)).values()) == sum(reserved.values()) + 40


@pytest.mark.parametrize("rival", ["COMMIT", "ROLLBACK"])
async def test_a_process_killed_inside_its_append_has_appended_all_or_nothing(
    database: str, pool: asyncpg.Pool, rival: str
) -> None:
    """The append waits for a rival at its second item when the process dies."""
    shop = Shop(PostgresLog(pool))
    await shop.stock("a", "b", pieces=10)
    insert = """INSERT INTO events (event_id, tenant, stream, version, type, schema_version, data,
            metadata, occurred_at)
        VALUES (gen_random_uuid(), 'demo', 'item-b', 2, 'Stocked', 1, '{"pieces": 1}', '{}', now())
    """
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute(insert)
        async with program(database, "1", "a", "b") as victim:
            await eventually(lambda: _is_waiting(pool), what="an append that waits")
            victim.kill()
            await victim.wait()
        await connection.execute(rival)
    await _rest(pool)

    reserved = await reservations(shop.store.log)

    assert reserved == ({} if rival == "COMMIT" else {"a": 1, "b": 1})
    assert await shop.sold([["a", "b"]]) == 1


async def _orders(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) > 50 FROM events"))


async def _is_waiting(pool: asyncpg.Pool) -> bool:
    waiting = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    return bool(await pool.fetchval(waiting))


async def _rest(pool: asyncpg.Pool) -> None:
    """Wait until the connections of a process that is gone are at rest, too."""
    busy = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"""

    async def is_idle() -> bool:
        return not await pool.fetchval(busy)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await eventually(is_idle)
