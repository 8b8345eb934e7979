"""Limits of attempts, counted in the database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from libs.errors import RateLimit
from libs.postgres import attempts
from libs.postgres.attempts import Counter
from libs.postgres.pool import Pool, acquire
from libs.testing.clock import Clock


@dataclass(frozen=True, slots=True)
class Attempts:
    """Counters in a database, by a clock of the test."""

    pool: Pool
    clock: Clock

    def counter(self, who: str, quota: int) -> Counter:
        return "test", who, RateLimit(name="test", quota=quota, window_seconds=900)

    async def take(self, *counters: Counter) -> int | None:
        """The seconds to wait; None if the attempt is allowed."""
        async with acquire(self.pool) as connection, connection.transaction():
            over = await attempts.take(connection, counters, self.clock())
        assert over is None or over.limit in [limit for _, _, limit in counters]
        return over.retry_after if over else None

    async def give_back(self, *counters: Counter) -> None:
        async with acquire(self.pool) as connection:
            await attempts.give_back(connection, counters)


@pytest.fixture
async def tries(pool: Pool) -> Attempts:
    for table, definition in attempts.TABLES.items():
        await pool.execute(f"CREATE TABLE {table} {definition}")
    return Attempts(pool, Clock())


async def test_attempts_count_from_the_first_and_end_with_the_window(tries: Attempts) -> None:
    anna, boris = tries.counter("anna", 2), tries.counter("boris", 2)
    waits = [await tries.take(anna) for _ in range(4)]
    tries.clock.advance(seconds=60)
    later = await tries.take(anna), await tries.take(boris)
    tries.clock.advance(minutes=14)

    assert waits == [None, None, 900, 900]
    assert later == (840, None)
    assert await tries.take(anna) is None


async def test_an_attempt_can_be_given_back(tries: Attempts) -> None:
    vera = tries.counter("vera", 1)
    for _ in range(5):
        assert await tries.take(vera) is None
        await tries.give_back(vera)


async def test_refused_attempts_are_not_counted(tries: Attempts) -> None:
    vera = tries.counter("vera", 1)
    for _ in range(5):
        await tries.take(vera)
    await tries.give_back(vera)

    assert await tries.take(vera) is None


async def test_counters_behind_one_that_is_used_up_are_not_counted(tries: Attempts) -> None:
    network, own = tries.counter("network", 1), tries.counter("own", 2)
    waits: Sequence[int | None] = [await tries.take(network, own) for _ in range(3)]

    assert waits == [None, 900, 900]
    assert await tries.take(own) is None
    assert await tries.take(own) == 900


async def test_concurrent_attempts_do_not_exceed_the_limit(tries: Attempts) -> None:
    mob = tries.counter("mob", 3)
    taken = await asyncio.gather(*(tries.take(mob) for _ in range(10)))

    assert taken.count(None) == 3


async def test_a_granted_attempt_is_taken_as_often_as_it_was_granted(tries: Attempts) -> None:
    now = tries.clock()
    async with acquire(tries.pool) as connection:
        await attempts.grant(connection, "granted", "anna", now + timedelta(minutes=1))

        async def take() -> bool:
            async with acquire(tries.pool) as mine:
                return await attempts.take_granted(mine, "granted", "anna", 2, now)

        taken = await asyncio.gather(*(take() for _ in range(3)))
        assert sorted(taken) == [False, True, True]
        assert not await attempts.has_granted(connection, "granted", "anna", 2, now)
        assert await attempts.redeem(connection, "granted", now) == "anna"
        assert await attempts.redeem(connection, "granted", now) is None
