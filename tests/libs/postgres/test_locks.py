"""Advisory locks by name, sequences, and the deletion of rows that are over."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.errors import Unavailable
from libs.postgres.locks import AdvisoryLock
from libs.postgres.pool import Pool, acquire, open_pool
from libs.postgres.retention import PRUNED_AT_ONCE, prune
from libs.postgres.sequences import Sequence
from libs.testing.polling import eventually

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_of_two_processes_one_holds_a_lock_and_the_other_waits(pool: Pool) -> None:
    here, there = AdvisoryLock(pool), AdvisoryLock(pool)
    order: list[str] = []

    async def second() -> None:
        async with there.hold("name"):
            order.append("second")

    async with here.hold("name"):
        waiting = asyncio.create_task(second())
        await eventually(lambda: _is_waiting(pool))
        order.append("first")
    await waiting

    assert order == ["first", "second"]


async def _is_waiting(pool: Pool) -> bool:
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )


async def test_locks_of_other_names_do_not_wait(pool: Pool) -> None:
    here, there = AdvisoryLock(pool), AdvisoryLock(pool)
    async with here.hold("a"), there.hold("b"):
        pass


async def test_a_process_holds_as_many_locks_at_once_as_it_may_have_connections(
    pool: Pool,
) -> None:
    several = AdvisoryLock(pool, connections=2)
    async with several.hold("a"), several.hold("b"):
        pass


async def test_a_wait_ends_when_the_lock_is_released_and_holds_nothing(pool: Pool) -> None:
    here, there = AdvisoryLock(pool), AdvisoryLock(pool)
    await there.wait("name")
    async with here.hold("name"):
        await there.wait("other")
        waiting = asyncio.create_task(there.wait("name", "other"))
        await eventually(lambda: _is_waiting(pool))
        assert not waiting.done()
    await waiting
    async with here.hold("name", "other"):
        pass


async def test_a_lock_that_is_held_for_long_is_unavailable(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.pool.LOCK_TIMEOUT", timedelta(milliseconds=50))
    impatient = await open_pool(
        database, role=None, schema="public", size=1, application_name="test"
    )
    async with AdvisoryLock(pool).hold("name"):
        with pytest.raises(Unavailable):
            async with AdvisoryLock(impatient).hold("name"):
                pytest.fail("another holds the lock")
        with pytest.raises(Unavailable):
            await AdvisoryLock(impatient).wait("name")
    await impatient.close()


async def test_numbers_of_a_sequence_are_taken_once(pool: Pool) -> None:
    await pool.execute("CREATE SEQUENCE box_number AS bigint")
    numbers = Sequence("box_number")

    taken = await asyncio.gather(*(numbers.next(pool) for _ in range(20)))

    assert sorted(taken) == list(range(1, 21))


async def test_rows_that_are_over_are_deleted_in_batches_and_locked_ones_are_left(
    pool: Pool,
) -> None:
    await pool.execute("CREATE TABLE code (name text, until timestamptz)")
    until = [NOW - timedelta(seconds=n) for n in range(PRUNED_AT_ONCE + 20)]
    rows = [(str(n), at) for n, at in enumerate([*until, NOW + timedelta(seconds=1)])]
    await pool.copy_records_to_table("code", records=rows)

    async with acquire(pool) as busy, busy.transaction(), acquire(pool) as connection:
        await busy.execute("SELECT FROM code WHERE name = '0' FOR UPDATE")
        left = []
        for _ in range(3):
            await prune(connection, "code", "until", NOW)
            left.append(await connection.fetchval("SELECT count(*) FROM code"))

    assert left == [21, 2, 2]
