"""The tail of the log: all that was committed, once, each stream in order, whoever writes."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.eventsourcing.snapshot import NOTHING
from libs.messaging.tail import Difference, current
from libs.testing.waiting import eventually
from tests.libs.messaging.load import (
    INSERT,
    OTHER,
    Interleaved,
    Load,
    Seen,
    long_transaction,
    schedules,
)

Tail = Callable[[asyncpg.Connection, Seen], Coroutine[Any, Any, None]]


async def by_difference(connection: asyncpg.Connection, seen: Seen) -> None:
    """Ours, in small pages."""
    moment = NOTHING
    while True:
        news, after, last = Difference(moment, await current(connection)), 0, False
        while not last:
            page = await news.page(connection, after=after, limit=20)
            seen.events += [(event.stream, event.version or 0) for event in page.events]
            after, last = page.events[-1].position if page.events else after, page.last
        moment = news.target
        await asyncio.sleep(0.002)


async def by_position(connection: asyncpg.Connection, seen: Seen) -> None:
    """What everybody tries first."""
    query = "SELECT position, stream, version FROM events WHERE position > $1 ORDER BY position"
    after = 0
    while True:
        for row in await connection.fetch(query, after):
            seen.events.append((row["stream"], row["version"]))
            after = row["position"]
        await asyncio.sleep(0.002)


async def by_fence(connection: asyncpg.Connection, seen: Seen) -> None:
    """What everybody tries next: only what is older than the oldest running transaction."""
    query = """SELECT xid::text::bigint AS xid, position, stream, version FROM events
        WHERE (xid, position) > ($1::text::xid8, $2::bigint)
            AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, position"""
    after = (0, 0)
    while True:
        for row in await connection.fetch(query, str(after[0]), after[1]):
            seen.events.append((row["stream"], row["version"]))
            after = (row["xid"], row["position"])
        await asyncio.sleep(0.002)


@pytest.fixture
async def address(pool: asyncpg.Pool, database: str) -> str:
    await pool.execute(OTHER)
    return database


async def test_nothing_is_missed_doubled_or_disordered_while_a_stranger_sits_in_a_transaction(
    address: str,
) -> None:
    load = Load(address=address)
    ways: dict[Tail, Seen] = {by_difference: Seen(), by_position: Seen(), by_fence: Seen()}

    async with AsyncExitStack() as stack:
        for way, seen in ways.items():
            connection = await asyncpg.connect(address)
            stack.push_async_callback(connection.close)
            tailing = asyncio.create_task(way(connection, seen))
            stack.push_async_callback(asyncio.wait, [tailing])
            stack.callback(tailing.cancel)
        async with long_transaction(address):
            await load.write(writers=16, rounds=100)
            assert len(load.committed) > 800
            # Everything arrives while the stranger is still there.
            await eventually(lambda: len(ways[by_difference].events), len(load.committed))
            assert len(ways[by_fence].events) < len(load.committed) / 2
        await eventually(lambda: len(ways[by_fence].events), len(load.committed))

    none = {"missed": 0, "doubled": 0, "disorder": 0}
    assert ways[by_difference].anomalies(load.committed) == none
    # The checker can tell: both other ways fail it under the same load.
    assert ways[by_position].anomalies(load.committed)["missed"] > 0
    assert ways[by_fence].anomalies(load.committed)["disorder"] > 0


@pytest.mark.parametrize("endings", list(itertools.product(["COMMIT", "ROLLBACK"], repeat=2)))
async def test_every_order_of_two_transactions_is_delivered_as_it_was_committed(
    pool: asyncpg.Pool, endings: tuple[str, str]
) -> None:
    async with pool.acquire() as watcher, pool.acquire() as one, pool.acquire() as two:
        model = Interleaved(await current(watcher), looks=1, early=1)
        for number, schedule in enumerate(schedules(2)):
            await model.play(
                f"order-{number}", schedule, endings, (one, two), watcher, random.Random(1)
            )
            assert (model.late, model.delivered) == (0, model.committed), schedule


async def test_a_difference_stays_the_same_whatever_is_written_later(
    address: str, pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as watcher, pool.acquire() as slow:
        await slow.execute("BEGIN")
        await slow.execute(INSERT, uuid4(), "order-slow", 1)
        await pool.execute(INSERT, uuid4(), "order-quick", 1)
        news = Difference(NOTHING, await current(watcher))
        before = await news.page(watcher, after=0, limit=10)

        await slow.execute("COMMIT")
        await pool.execute(INSERT, uuid4(), "order-quick", 2)

        assert await news.page(watcher, after=0, limit=10) == before
        assert [event.stream for event in before.events] == ["order-quick"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7])
async def test_pages_know_when_they_are_the_last_also_when_just_full(
    pool: asyncpg.Pool, limit: int
) -> None:
    for version in range(1, 7):
        await pool.execute(INSERT, uuid4(), "order-1", version)
    async with pool.acquire() as connection:
        news, pages = Difference(NOTHING, await current(connection)), list[int]()
        after, last = 0, False
        while not last:
            page = await news.page(connection, after=after, limit=limit)
            pages.append(len(page.events))
            after, last = page.events[-1].position, page.last

    assert sum(pages) == 6
    assert len(pages) == -(-6 // limit)


async def test_a_page_can_be_read_again_by_its_positions(pool: asyncpg.Pool) -> None:
    for version in range(1, 7):
        await pool.execute(INSERT, uuid4(), "order-1", version)
    async with pool.acquire() as connection:
        news = Difference(NOTHING, await current(connection))
        page = await news.page(connection, after=1, limit=3)
        again = await news.page(
            connection, after=page.after, until=page.events[-1].position, limit=3
        )

    assert again.events == page.events
    assert again.last
