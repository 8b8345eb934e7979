"""What holds for the read models of the twin: history alone decides what is in the tables.

Each stream comes in its order, as a partition gives it, but streams come in any order to each
other, and are cut into batches anywhere.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect

from contracts.envelope import Envelope
from contracts.scale_bridge import ScaleBridgeEvent
from libs.postgres.pool import Pool
from services.scale_bridge.read_models.drift import DESIRED
from services.scale_bridge.read_models.price_delivery import PRICE_DELIVERY
from services.scale_bridge.read_models.schedule import SCHEDULE
from services.scale_bridge.read_models.shown_rows import READING, SHOWING, SHOWN
from tests.services.scale_bridge.twin import Told, catalogue, product, project, store_content

POSTGRES = PGDialect()  # type: ignore[no-untyped-call]
OURS = (SCHEDULE, SHOWN, SHOWING, READING, DESIRED, PRICE_DELIVERY)
TABLES = [table.name for table in OURS]
SCALES = range(1, 5)


async def a_history(pool: Pool, random: Random, length: int = 150) -> Told:
    """Scales that are read, edited, dated, moved, scheduled, worked on, and some removed."""
    tell = Told(random.choice(["demo", "other"]))
    contents = [
        await store_content(pool, catalogue(*(product(n) for n in numbers)), tell.tenant)
        for numbers in ((1, 2, 3), (2, 3, 4), (5,))
    ]
    runs: dict[int, int] = {}
    for number in SCALES:
        tell.registered(number)
    for number in range(length):
        of = random.choice(SCALES)
        about = random.choice([_desired, _desired, _observed, _scheduled])
        if about is _desired:
            _desired(tell, random, of, number + 1, contents)
        elif about is _observed:
            _observed(tell, random, of, number)
        else:
            _scheduled(tell, random, of, number, runs)
    tell.removed(SCALES[-1])
    return tell


def _desired(tell: Told, random: Random, of: int, revision: int, contents: list[str]) -> None:
    match random.randrange(8):
        case 0 | 1:
            tell.fetched(revision, random.choice(contents), of=of)
        case 2:
            price, day = random.choice([1.0, 2.5]), random.choice(["", "01-03-26"])
            tell.edited(revision, random.randrange(1, 6), of=of, price=price, sellByDate=day)
        case 3:
            tell.dated(revision, 1, 2, of=of, day=f"{random.randrange(1, 29):02}-03-26")
        case 4 | 5:
            number, plu = random.randrange(4), random.randrange(1, 4)
            tell.price_taken(revision, plu, random.random(), of=of, number=number, at=revision)
        case 6:
            number, plu = random.randrange(4), random.randrange(1, 4)
            tell.price_overridden(revision, plu, of=of, number=number, at=revision)
            tell.edited(revision, plu, of=of, pluNumber=100 + revision)
        case _:
            tell.invalidated(revision, of=of, at=random.randrange(200))


def _observed(tell: Told, random: Random, of: int, number: int) -> None:
    at = random.randrange(200)
    if random.randrange(3):
        prices = {str(plu): {"price": random.random()} for plu in random.sample(SCALES, 2)}
        tell.shown(at, prices, str(random.randrange(6, 8)), of=of, by=number)
        return
    tell.queued(number, of=of)
    tell.applied(number, at=at, of=of)
    outcome = random.choice(["verified", "unknown", "failed"])
    tell.ended(number, "upload", outcome, at=at, of=of)


def _scheduled(tell: Told, random: Random, of: int, number: int, runs: dict[int, int]) -> None:
    if random.randrange(2):
        times = random.choice([(), ("08:00",), ("07:30", "20:00")])
        tell.schedule_set(of=of, enabled=random.random() < 0.7, due=number, at=times)
    elif random.randrange(3) == 0:
        tell.schedule_skipped(of=of, due=number, runs=random.randrange(1, 9))
    elif of in runs:
        tell.schedule_ran(runs.pop(of), of=of, error=random.choice([None, "Беда."]))
    else:
        runs[of] = number
        tell.schedule_claimed(number, of=of, due=number)


def cut(
    random: Random, history: Sequence[Envelope[ScaleBridgeEvent]]
) -> list[list[Envelope[ScaleBridgeEvent]]]:
    """The same streams, mixed in another way, in batches of any size."""
    places = [(envelope.version is not None and envelope.stream, envelope) for envelope in history]
    turns = [stream for stream, _ in places]
    random.shuffle(turns)
    waiting: dict[Any, list[Envelope[ScaleBridgeEvent]]] = {}
    for stream, envelope in places:
        waiting.setdefault(stream, []).append(envelope)
    random.shuffle(waiting.get(False, []))
    mixed = [waiting[stream].pop(0) for stream in turns]
    batches, start = [], 0
    while start < len(mixed):
        size = random.randrange(1, 40)
        batches.append(mixed[start : start + size])
        start += size
    return batches


async def tables(pool: Pool) -> dict[str, list[Any]]:
    return {
        table: [
            tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} AS each ORDER BY each")
        ]
        for table in TABLES
    }


async def clear(pool: Pool) -> None:
    for table in (*TABLES, "device", "operation"):
        await pool.execute(f"DELETE FROM {table}")


async def test_batches_and_order_of_arrival_do_not_matter(pool: Pool) -> None:
    """SCL-15, SCL-18."""
    for seed in range(8):
        random = Random(seed)
        history = (await a_history(pool, random)).events
        await clear(pool)
        await project(pool, history)
        at_once = await tables(pool)
        assert all(at_once.values())

        await clear(pool)
        for batch in cut(random, history):
            await project(pool, batch)

        assert await tables(pool) == at_once, f"seed {seed}"


async def test_lanes_side_by_side_neither_block_nor_disturb_each_other(pool: Pool) -> None:
    history = (await a_history(pool, Random(1), 300)).events
    await clear(pool)
    await project(pool, history)
    at_once = await tables(pool)
    await clear(pool)

    async def lane(number: int) -> None:
        ours = [one for one in history if hash(one.stream) % 3 == number]
        for batch in cut(Random(number), ours):
            await project(pool, batch)

    await asyncio.gather(*(lane(number) for number in range(3)))

    assert await tables(pool) == at_once


async def test_another_tenant_sees_nothing(reading_pool: Pool, pool: Pool) -> None:
    await project(pool, (await a_history(pool, Random(2))).events)

    async with reading_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('tillstream.tenant', 'third', true)")
        for table in (*TABLES, "inbox"):
            assert not await connection.fetch(f"SELECT * FROM {table}"), table


@pytest.mark.parametrize("table", OURS, ids=str)
async def test_the_tables_are_as_the_migrations_made_them(pool: Pool, table: Any) -> None:
    columns: Sequence[Any] = await pool.fetch(
        """SELECT column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_schema = 'scale_bridge' AND table_name = $1 ORDER BY ordinal_position""",
        table.name,
    )

    assert [(name, kind.upper(), nullable == "YES") for name, kind, nullable in columns] == [
        (column.name, str(column.type.compile(POSTGRES)), column.nullable)
        for column in table.columns
    ]
