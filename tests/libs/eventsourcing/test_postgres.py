"""The log in a real database: rights, races between processes, group commit."""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from deploy.local.ports import free_port
from libs.eventsourcing import insertion
from libs.eventsourcing.log import (
    ANY,
    NO_STREAM,
    Appended,
    EventIdReused,
    LogUnavailable,
    VersionConflict,
)
from libs.eventsourcing.postgres import READ_STREAMS, PostgresLog
from libs.eventsourcing.tokens import parse_token
from libs.postgres.pool import open_pool
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.chaos.proxy import Proxy
from tests.libs.eventsourcing.events import METADATA, fact, new, plan_of


@pytest.mark.parametrize("change", ["UPDATE events SET type = 'x'", "DELETE FROM events"])
async def test_the_log_refuses_to_be_changed_even_by_its_owner(
    pool: asyncpg.Pool, change: str
) -> None:
    await PostgresLog(pool).append("order-1", [new()], expected=ANY, metadata=METADATA)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(change)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("TRUNCATE events")

    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'Tried'") == 1


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        (insertion.APPEND, 14),
        (insertion.COMMITTED_STATE, 3),
        (insertion.KNOWN, 1),
        (READ_STREAMS, 4),
    ],
    ids=["append", "committed-state", "known", "read-streams"],
)
async def test_a_plan_made_for_any_append_reads_the_log_along_an_index(
    pool: asyncpg.Pool, query: str, arguments: int
) -> None:
    log, nothing = PostgresLog(pool), ", ".join(["NULL"] * arguments)
    for events in (0, 3000):
        await log.append_facts([fact() for _ in range(events)], metadata=METADATA)
        async with pool.acquire() as connection:
            await connection.execute("SET plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE planned AS {query}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE planned({nothing})")
            await connection.execute("DEALLOCATE planned")

        assert "Seq Scan on events" not in "\n".join(row[0] for row in rows)


async def test_streams_are_read_one_by_one_while_the_log_has_no_statistics(
    pool: asyncpg.Pool,
) -> None:
    log = PostgresLog(pool)
    await asyncio.gather(
        *(
            log.append(f"order-{n}", [new()], expected=NO_STREAM, metadata=METADATA)
            for n in range(2000)
        )
    )

    async with pool.acquire() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE planned AS {READ_STREAMS}")
        rows = await connection.fetch("EXPLAIN EXECUTE planned(NULL, NULL, NULL, NULL)")
        await connection.execute("DEALLOCATE planned")

    plan = "\n".join(row[0] for row in rows)
    assert "(stream = given.stream)" in plan
    assert "Hash" not in plan


async def test_of_many_processes_at_one_version_exactly_one_wins(pool: asyncpg.Pool) -> None:
    logs = [PostgresLog(pool) for _ in range(8)]

    for version in range(10):
        race = (log.append("order-1", [new()], expected=version, metadata=METADATA) for log in logs)
        answers = await asyncio.gather(*race, return_exceptions=True)
        assert sum(isinstance(answer, Appended) for answer in answers) == 1
        assert sum(isinstance(answer, VersionConflict) for answer in answers) == 7

    assert await pool.fetchval("SELECT array_agg(version ORDER BY version) FROM events") == list(
        range(1, 11)
    )


async def test_two_processes_retrying_one_append_get_the_same_answer(pool: asyncpg.Pool) -> None:
    logs = [PostgresLog(pool) for _ in range(2)]

    for number in range(20):
        events = [new(), new()]
        both = (
            log.append(f"order-{number}", events, expected=NO_STREAM, metadata=METADATA)
            for log in logs
        )
        first, second = await asyncio.gather(*both)
        assert first == second

    assert await pool.fetchval("SELECT count(*) FROM events") == 40


@pytest.mark.parametrize("streams", [1, 3])
async def test_many_processes_appending_at_any_version_leave_no_hole_and_none_starves(
    pool: asyncpg.Pool, streams: int
) -> None:
    logs = [PostgresLog(pool) for _ in range(8)]

    async def write(log: PostgresLog, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(15):
            stream = f"order-{dice.randrange(streams)}"
            await log.append(stream, [new(), new()], expected=ANY, metadata=METADATA)

    await asyncio.gather(*(write(log, seed) for seed, log in enumerate(logs) for _ in range(2)))

    broken = await pool.fetch(
        "SELECT stream FROM events GROUP BY stream"
        " HAVING count(*) <> max(version) OR min(version) <> 1"
    )
    assert broken == []
    assert await pool.fetchval("SELECT count(*) FROM events") == 480


async def test_a_lock_of_streams_is_waited_for_by_other_locks_of_them_and_by_no_append(
    database: str, pool: asyncpg.Pool
) -> None:
    entered: list[str] = []
    async with asyncpg.create_pool(database, min_size=0, max_size=4) as other:
        here, there = PostgresLog(pool), PostgresLog(other)

        async def lock(log: PostgresLog, *streams: str) -> None:
            async with log.lock_streams("demo", streams):
                entered.append(" ".join(streams))

        async with here.lock_streams("demo", ["item-a", "item-b"]):
            await lock(there, "item-c")
            waiting = asyncio.create_task(lock(there, "item-c", "item-b"))
            await eventually(lambda: _waits_for_a_lock(pool))
            for log, version in ((here, 0), (there, 1)):
                await log.append("item-b", [new()], expected=version, metadata=METADATA)
            entered.append("released")
        await waiting

    assert entered == ["item-c", "released", "item-c item-b"]


async def _waits_for_a_lock(pool: asyncpg.Pool) -> bool:
    waiting = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE NOT granted AND locktype = 'advisory' AND datname = current_database()"""
    return bool(await pool.fetchval(waiting))


async def test_a_lock_makes_the_log_unavailable_until_it_is_released(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    database = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {database} SET lock_timeout = '100ms'")
    await pool.expire_connections()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        with pytest.raises(LogUnavailable):
            await log.append("order-1", [new()], expected=ANY, metadata=METADATA)

    assert (await log.append("order-1", [new()], expected=ANY, metadata=METADATA)).version == 1


async def test_processes_with_the_same_facts_in_other_orders_count_them_once(
    pool: asyncpg.Pool,
) -> None:
    logs = [PostgresLog(pool) for _ in range(6)]
    batch = [fact() for _ in range(50)]

    async def send(log: PostgresLog, seed: int) -> int:
        shuffled = random.Random(seed).sample(batch, len(batch))
        return len((await log.append_facts(shuffled, metadata=METADATA)).new)

    counts = await asyncio.gather(*(send(log, seed) for seed, log in enumerate(logs * 4)))

    assert sum(counts) == 50


@pytest.mark.parametrize("stream", ["scan-1", "scan-\x1f"])
async def test_every_process_writes_facts_in_the_order_of_their_ids(
    pool: asyncpg.Pool, stream: str
) -> None:
    log = PostgresLog(pool)
    batches = [[fact(stream=stream) for _ in range(20)] for _ in range(5)]

    await asyncio.gather(*(log.append_facts(batch, metadata=METADATA) for batch in batches))

    groups = "SELECT array_agg(event_id ORDER BY position) FROM events GROUP BY xid"
    for (ids,) in await pool.fetch(groups):
        assert ids == sorted(ids)


async def test_waiting_appends_share_transactions(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)

    transactions = {
        parse_token(answer.token)[0].xid
        for answer in await asyncio.gather(
            *(
                log.append(f"order-{n}", [new()], expected=NO_STREAM, metadata=METADATA)
                for n in range(64)
            )
        )
    }

    assert len(transactions) < 8


async def test_a_commit_of_new_events_is_announced_and_nothing_else_is(pool: asyncpg.Pool) -> None:
    rung: list[int] = []
    seen = "SELECT count(*) FROM events"
    log = PostgresLog(pool, on_append=lambda: rung.append(len(rung)))
    first, other, known = new(), new(), fact()
    await log.append("order-1", [first], expected=NO_STREAM, metadata=METADATA)
    await log.append_facts([known], metadata=METADATA)
    assert len(rung) == await pool.fetchval(seen) == 2

    await log.append("order-1", [first], expected=NO_STREAM, metadata=METADATA)
    await log.append_facts([known], metadata=METADATA)
    with pytest.raises(VersionConflict):
        await log.append("order-1", [new()], expected=NO_STREAM, metadata=METADATA)
    assert len(rung) == 2

    answers = await asyncio.gather(
        log.append("order-1", [new()], expected=7, metadata=METADATA),
        log.append("order-2", [other], expected=ANY, metadata=METADATA),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [VersionConflict, Appended]
    assert len(rung) == await pool.fetchval(seen) == 3


async def test_each_append_of_a_transaction_gets_its_own_result(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    taken = new()
    await log.append("order-1", [taken], expected=NO_STREAM, metadata=METADATA)

    answers = await asyncio.gather(
        log.append("order-1", [new()], expected=1, metadata=METADATA),
        log.append("order-1", [new()], expected=1, metadata=METADATA),
        log.append("order-2", [taken], expected=ANY, metadata=METADATA),
        log.append("order-1", [taken], expected=7, metadata=METADATA),
        log.append_facts([fact(), fact()], metadata=METADATA),
        return_exceptions=True,
    )

    kinds = [type(answer) for answer in answers[:3]]
    assert kinds == [Appended, VersionConflict, EventIdReused]
    assert getattr(answers[3], "version", None) == 1
    assert len(getattr(answers[4], "new", ())) == 2


async def test_a_lost_database_makes_the_log_unavailable(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    await log.append("order-1", [new()], expected=ANY, metadata=METADATA)
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await pool.expire_connections()

    await log.append("order-1", [new()], expected=1, metadata=METADATA)

    pool.terminate()
    with pytest.raises(LogUnavailable):
        await log.append("order-1", [new()], expected=2, metadata=METADATA)


async def test_an_append_checks_assumed_versions_by_index(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    for number in range(300):
        await log.append(f"order-{number}", [new()], expected=0, metadata=METADATA)
    rows = (["order-1", "order-2"], [1, 1])

    empty: list[list[object]] = [[]] * 9
    plan = await plan_of(pool, insertion.APPEND, *empty, ["demo", "demo"], *rows, [], 0)

    assert "Seq Scan on events" not in plan
    assert "events_stream_version" in plan


async def test_an_append_waits_for_no_reader(database: str, pool: asyncpg.Pool) -> None:
    async with asyncpg.create_pool(database, min_size=0, max_size=1) as writer:
        log = PostgresLog(pool, writer)
        readers = [pool.acquire() for _ in range(pool.get_max_size())]
        async with AsyncExitStack() as stack:
            for reader in readers:
                await stack.enter_async_context(reader)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await log.append("order-1", [new()], expected=NO_STREAM, metadata=METADATA)

        assert len(await log.read("demo", "order-1")) == 1


async def test_a_database_that_falls_silent_fails_appends_soon_then_at_once_until_it_answers(
    database: str, pool: asyncpg.Pool
) -> None:
    port = int(database.rpartition(":")[2].partition("/")[0])
    async with Proxy(free_port(), port) as proxy:
        url = database.replace(f":{port}/", f":{proxy.address.partition(':')[2]}/")
        writer = await open_pool(
            url, role=None, schema="public", size=1, application_name="t", tenant_scope="*"
        )
        log, events = PostgresLog(pool, writer), [new() for _ in range(20)]
        await log.append("order-0", [new()], expected=NO_STREAM, metadata=METADATA)
        proxy.swallows = True

        def append(number: int) -> Awaitable[Appended]:
            return log.append(
                f"order-{number}", [events[number]], expected=NO_STREAM, metadata=METADATA
            )

        async with asyncio.timeout(15):
            waiting = [append(number) for number in range(1, 20)]
            fates = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(fate) for fate in fates] == [LogUnavailable] * 19
            passed = proxy.passed
            for number in range(1, 20):
                with pytest.raises(LogUnavailable):
                    await append(number)
        assert proxy.passed == passed

        proxy.swallows = False
        await eventually(lambda: _succeeds(append(1)))
        await asyncio.gather(*map(append, range(1, 20)))
        assert await pool.fetchval("SELECT count(*) FROM events") == 20
        await writer.close()


async def _succeeds(appending: Awaitable[object]) -> bool:
    with suppress(LogUnavailable):
        await appending
        return True
    return False
