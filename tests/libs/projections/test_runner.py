"""The runner: every read model level with the log, whatever fails, and no event twice."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from libs.messaging.worker import check_projection
from libs.projections.runner import ProjectionRunner
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.messaging.lab import Cursed, Numbered, expected, order, running
from tests.libs.projections.shop import Shop


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_runner_resumes_at_its_checkpoint(shop: Shop) -> None:
    for number in range(1, 4):
        await shop.append_numbers(range(30 * (number - 1), 30 * number))
        async with running(shop.runner(page=7)):
            await shop.applied(30 * number)


@pytest.mark.parametrize("shards", [1, 3])
async def test_of_two_workers_one_applies_and_the_other_takes_over(shop: Shop) -> None:
    first, second = shop.runner(page=5), shop.runner(page=5)

    def followed() -> int:
        # By either: of several shards each may have some.
        both = (*first._context.progress.values(), *second._context.progress.values())
        return sum(shard.following for shard in both)

    async with running(second):
        async with running(first):
            await shop.append_numbers(range(30))
            await eventually(followed, shop.shards)
            await shop.applied(30)
        await shop.append_numbers(range(30, 60))
        await shop.applied(60)
        assert (await check_projection(second, "ledger")).ok


async def test_a_runner_waits_for_a_lock_and_measures_the_lag(shop: Shop) -> None:
    database = await shop.pool.fetchval("SELECT current_database()")
    await shop.pool.execute(f"ALTER DATABASE {database} SET lock_timeout = '50ms'")
    await shop.pool.expire_connections()
    runner = shop.runner()

    def trouble() -> str:
        return (runner.progress("ledger").trouble or "").partition(":")[0]

    async with running(runner):
        await shop.append_numbers(range(1))
        await shop.applied(1)
        async with shop.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
            await shop.append_numbers(range(1, 6))
            await eventually(trouble, "LockNotAvailableError")
            await eventually(lambda: runner.progress("ledger").lag)
            assert (await check_projection(runner, "ledger")).ok
        await shop.applied(6)
        await eventually(lambda: runner.progress("ledger").lag, 0)
        await eventually(trouble, "")


async def test_a_page_that_fails_for_long_is_not_ready(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.messaging.worker.STUCK_SECONDS", 0.0)
    database = await shop.pool.fetchval("SELECT current_database()")
    await shop.pool.execute(f"ALTER DATABASE {database} SET lock_timeout = '50ms'")
    await shop.pool.expire_connections()
    runner = shop.runner()

    async def ready() -> bool:
        return (await check_projection(runner, "ledger")).ok

    async with running(runner):
        await eventually(ready)
        async with shop.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
            await shop.append_numbers(range(3))
            await eventually(ready, False)
        await eventually(ready)


MISFITS: dict[str, Any] = {
    "tables that do not fit": asyncpg.UndefinedTableError("no such table"),
    "all fails": ValueError("whatever comes"),
}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("fault", MISFITS)
async def test_a_read_model_that_fails_for_every_event_is_detached_and_rejoins(
    shop: Shop, fault: str
) -> None:
    runner, shop.tally.error = shop.runner(page=10), MISFITS[fault]
    streams = 210 if fault == "all fails" else 5
    for n in range(streams):
        await shop.append(order(n), Numbered(n))

    async with running(runner):
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "detached/tally"})
        await eventually(shop.rows, {order(n): [n] for n in range(streams)})
        await eventually(lambda: runner.is_detached("tally"))
        await eventually(lambda: runner.progress("tally").trouble)
        assert runner.progress("ledger").trouble is None

        shop.tally.error = None
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})
        parked = await shop.pool.fetchval("SELECT count(*) FROM parked_events")
        await eventually(shop.counted, streams - parked)
        await shop.append(order(0), Numbered(streams))
        await eventually(shop.rows, {order(n): [n] + [streams] * (n == 0) for n in range(streams)})


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_read_model_rejoins_while_others_write(shop: Shop) -> None:
    runner, stop = shop.runner(page=20), asyncio.Event()
    shop.tally.error = asyncpg.UndefinedColumnError("no such column")
    written = 0

    async def write() -> None:
        nonlocal written
        while not stop.is_set():
            await shop.append(order(written % 5), Numbered(written))
            written += 1

    async with running(runner):
        writer = asyncio.create_task(write())
        for _ in range(3):
            await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "detached/tally"})
            shop.tally.error = None
            await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})
            shop.tally.error = asyncpg.UndefinedColumnError("no such column")
        shop.tally.error = None
        stop.set()
        await writer
        await shop.applied(written)


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_read_model_that_is_too_slow_parks_the_one_event_that_is(shop: Shop) -> None:
    database = await shop.pool.fetchval("SELECT current_database()")
    await shop.pool.execute(f"ALTER DATABASE {database} SET statement_timeout = '300ms'")
    await shop.pool.expire_connections()
    project = shop.tally.project

    async def slow(connection: Any, events: Any) -> None:
        if any(isinstance(envelope.event, Cursed) for envelope in events):
            await connection.execute("SELECT pg_sleep(60)")
        await project(connection, events)

    shop.tally.project = slow  # type: ignore[method-assign]
    shop.ledger.cursed = False
    await shop.append_numbers(range(10))
    await shop.append("order-slow", Cursed(1))
    await shop.append_numbers(range(10, 20))

    async with running(shop.runner(page=64)):
        await eventually(shop.rows, expected(20) | {"order-slow": [1]})
        await eventually(shop.counted, 20)
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})
        [parked] = await shop.pool.fetch("SELECT projection, stream, reason FROM parked_events")
        assert tuple(parked) == ("tally", "order-slow", "timed out")


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_new_read_model_starts_detached_from_the_start_of_the_log_and_rejoins(
    shop: Shop,
) -> None:
    ledger, tally = shop.models
    await shop.append_numbers(range(20))
    async with running(shop.runner(ledger, page=6)):
        await eventually(shop.rows, expected(20))
    async with running(shop.runner(ledger, tally, page=6)):
        await shop.append_numbers(range(20, 30))
        await shop.applied(30)
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})


async def test_a_read_model_without_tables_starts_at_the_end_of_the_log(shop: Shop) -> None:
    ledger, tally = shop.models
    await shop.append_numbers(range(20))
    async with running(shop.runner(ledger)):
        await eventually(shop.rows, expected(20))
    async with running(shop.runner(ledger, replace(tally, tables=()))):
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})
        await shop.append_numbers(range(20, 30))
        await eventually(shop.rows, expected(30))
        assert await shop.counted() == 10


async def test_a_worker_of_another_version_neither_applies_nor_stops_the_rest(shop: Shop) -> None:
    await shop.append_numbers(range(5))
    async with running(shop.runner()):
        await shop.applied(5)
    shop.versions = {"tally": 2}
    newer = shop.runner()
    async with running(newer):
        await shop.append_numbers(range(5, 10))
        await eventually(shop.rows, expected(10))
        await eventually(lambda: newer.version_mismatches.get("tally"))
        checked = await check_projection(newer, "tally")
        assert (checked.ok, "rebuild it for version 2" in checked.detail) == (False, True)
        assert await shop.counted() == 5
        # A worker of the old version, still there, goes on with what it knows.
        shop.versions = {}
        async with running(shop.runner()):
            await shop.applied(10)


async def test_a_worker_that_lacks_a_read_model_stands_by(shop: Shop) -> None:
    ledger, tally = shop.models
    async with running(shop.runner()):
        await shop.append_numbers(range(5))
        await shop.applied(5)
    older = shop.runner(ledger)
    async with running(older):
        await eventually(lambda: older.progress("ledger").trouble)
        await shop.append_numbers(range(5, 10))
        assert await shop.rows() == expected(5)
        async with running(shop.runner(ledger, tally)):
            await shop.applied(10)


async def test_an_event_of_another_category_moves_only_the_checkpoint(
    shop: Shop,
) -> None:
    ledger, tally = shop.models
    other = replace(tally, topics=("lab.receipt",))
    async with running(shop.runner(ledger, other)):
        await shop.append("receipt-1", Numbered(1))
        await shop.append("order-1", Numbered(2))
        await eventually(shop.rows, {"order-1": [2]})
        assert await shop.counted() == 1


@pytest.mark.parametrize("shards", [1, 3])
async def test_the_database_may_go_away_at_any_time(shop: Shop) -> None:
    runner = shop.runner(page=3)

    async def cut() -> None:
        for _ in range(12):
            await asyncio.sleep(0.05)
            async with asyncio.timeout(10), asyncio.Lock():
                admin: Any = await asyncpg.connect(shop.address)
                await admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    " AND query LIKE '%projection_checkpoints%'"
                )
                await admin.close()

    async with running(runner):
        cutting = asyncio.create_task(cut())
        await shop.append_numbers(range(60))
        await cutting
        await shop.applied(60)


async def test_a_runner_that_is_cancelled_as_its_connection_is_lost_ends(shop: Shop) -> None:
    applying = asyncio.Event()

    async def lost(connection: Any, events: Any) -> None:
        connection.terminate()
        applying.set()
        await asyncio.Event().wait()

    shop.tally.project = lost  # type: ignore[method-assign]
    await shop.append_numbers(range(3))
    life = asyncio.create_task(shop.runner().run(asyncio.Event()))
    await applying.wait()
    life.cancel()
    _, unfinished = await asyncio.wait([life], timeout=PATIENCE_SECONDS)
    assert not unfinished


def test_a_read_model_that_is_not_followed_yet_has_not_started() -> None:
    runner = ProjectionRunner(None, [], service="lab")  # type: ignore[arg-type]
    assert runner.progress("ledger").started is False
