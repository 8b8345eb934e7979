"""Tailing the log yields every committed event once, each stream in order, for any writers."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.eventsourcing import tail
from libs.eventsourcing.tail import (
    _REST_EVENTS,
    LAST,
    PAGE_BYTES,
    READ_IN_ORDER,
    START,
    Cursor,
    current,
    read_difference,
    read_page,
)
from libs.testing.polling import eventually
from tests.libs.eventsourcing.load import (
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
    cursor = START
    while True:
        page = await read_page(connection, cursor, limit=20)
        seen.events += [(event.stream, event.version or 0) for event in page.events]
        cursor = page.cursor
        if cursor.complete:
            await asyncio.sleep(0.002)


async def by_position(connection: asyncpg.Connection, seen: Seen) -> None:
    """The naive way: by position."""
    query = "SELECT position, stream, version FROM events WHERE position > $1 ORDER BY position"
    after = 0
    while True:
        for row in await connection.fetch(query, after):
            seen.events.append((row["stream"], row["version"]))
            after = row["position"]
        await asyncio.sleep(0.002)


async def by_fence(connection: asyncpg.Connection, seen: Seen) -> None:
    """The next naive way: only events older than the oldest running transaction."""
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


async def test_nothing_is_missed_doubled_or_disordered_while_another_transaction_is_open(
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
        model = Interleaved(Cursor(target=await current(watcher)), readings=1, early=1)
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
        before = await read_page(watcher, START, limit=10)

        await slow.execute("COMMIT")
        await pool.execute(INSERT, uuid4(), "order-quick", 2)

        again = await read_page(watcher, START, limit=10, until=before.cursor.target)
        assert again == before
        assert [event.stream for event in before.events] == ["order-quick"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7])
async def test_pages_know_when_they_are_the_last_also_when_just_full(
    pool: asyncpg.Pool, limit: int
) -> None:
    for version in range(1, 7):
        await pool.execute(INSERT, uuid4(), "order-1", version)
    async with pool.acquire() as connection:
        page = await read_page(connection, START, limit=limit)
        assert page.backlog == 6
        pages = [len(page.events)]
        while not page.cursor.complete:
            page = await read_page(connection, page.cursor, limit=limit)
            assert page.backlog is None
            pages.append(len(page.events))

    assert sum(pages) == 6
    assert len(pages) == -(-6 // limit)


async def test_a_page_can_be_read_again_by_its_positions(pool: asyncpg.Pool) -> None:
    for version in range(1, 7):
        await pool.execute(INSERT, uuid4(), "order-1", version)
    async with pool.acquire() as connection:
        cursor = Cursor(target=await current(connection), after_position=1, complete=False)
        page = await read_page(connection, cursor, limit=3)
        again = await read_difference(
            connection,
            cursor.published,
            cursor.target,
            after=1,
            until_position=page.cursor.after_position,
            limit=3,
        )

    assert again.events == page.events
    assert again.cursor.complete


async def test_pages_are_read_in_order_along_an_index_also_before_there_are_statistics(
    pool: asyncpg.Pool,
) -> None:
    async with pool.acquire() as connection:
        await connection.executemany(INSERT, [(uuid4(), "order-1", n) for n in range(1, 2000)])
        await connection.execute(READ_IN_ORDER)
        bounds = 100, LAST, str(await current(connection)), str(START.target), "", 50
        rows = await connection.fetch(f"EXPLAIN {_REST_EVENTS}", *bounds)

    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan using events_pkey" in plan
    assert "Sort" not in plan


async def test_a_cursor_includes_what_was_read_before_it_and_nothing_else(
    pool: asyncpg.Pool,
) -> None:
    for stream in ("order-1", "order-2"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT, uuid4(), stream, 1)
            await connection.execute(INSERT, uuid4(), stream, 2)
    async with pool.acquire() as connection:
        everything = (await read_page(connection, START, limit=10)).events
        for limit in range(1, 5):
            page = await read_page(connection, START, limit=limit)
            included = [
                event for event in everything if page.cursor.includes(event.xid, event.position)
            ]
            assert included == page.events


BIG = """INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
SELECT gen_random_uuid(), 'demo', 'order-1', n, 'Numbered', 1, jsonb_build_object('text',
    (SELECT string_agg(md5((n * m)::text), '') FROM generate_series(1, 14000) AS m)), '{}', now()
FROM generate_series(1, 40) AS n"""


async def test_a_page_of_big_events_is_bounded_by_their_bytes(pool: asyncpg.Pool) -> None:
    await pool.execute(BIG)
    await pool.execute(INSERT, uuid4(), "order-1", 41)
    sizes: list[int] = []
    versions: list[int | None] = []
    cursor = START
    async with pool.acquire() as connection:
        while not sizes or not cursor.complete:
            page = await read_page(connection, cursor, limit=100)
            versions += [event.version for event in page.events]
            sizes.append(sum(len(event.data) for event in page.events))
            cursor = page.cursor
            assert page.backlog == (41 if len(sizes) == 1 else None)
    assert versions == list(range(1, 42))
    assert max(sizes) < 2 * PAGE_BYTES


MANY = """
INSERT INTO events (event_id, tenant, stream, type, schema_version, data, metadata, occurred_at)
SELECT gen_random_uuid(), 'demo', 'scan-' || n % 100, 'X', 1, '{}', '{}', now()
FROM generate_series(1, $1) AS n
"""


@pytest.mark.parametrize("stored", [300, 30_000])
@pytest.mark.parametrize("counted", [False, True], ids=["not yet counted", "counted"])
@pytest.mark.parametrize("planned_at", [0, 1], ids=["planned when empty", "planned when full"])
@pytest.mark.parametrize("statement", [tail._UP_TO_NOW, tail._ROWS_UP_TO_NOW])
async def test_new_events_are_found_by_index_in_a_log_of_any_size(
    pool: asyncpg.Pool, stored: int, counted: bool, planned_at: int, statement: str
) -> None:
    async with pool.acquire() as connection:
        await connection.execute("ALTER TABLE events SET (autovacuum_enabled = off)")
        await connection.execute(READ_IN_ORDER)
        await connection.execute(f"PREPARE next_page (text, text[], bigint) AS {statement}")
        if not planned_at:
            for _ in range(6):
                await connection.fetch("EXECUTE next_page ('1', '{}', 21)")
        for _ in range(10):
            await connection.execute(MANY, stored // 10)
        if counted:
            await connection.execute("ANALYZE events")
        before = await current(connection)
        await connection.execute(MANY, 30)
        rows = await connection.fetch(
            "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF)"
            f" EXECUTE next_page ('{before.xmax}', '{{}}', 21)"
        )

    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on events" not in plan, plan
    assert "Rows Removed by" not in plan, plan
    assert "using events_xid" in plan, plan
