"""What holds for every read model: history alone decides what is in the tables."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ScanQuarantined
from libs.postgres.pool import Pool
from services.ingest.read_models.activity import ACTIVITY
from services.ingest.read_models.presence import PRESENCE
from services.ingest.read_models.quarantine import QUARANTINE
from services.ingest.read_models.scan_log import SCAN_LOG
from tests.services.ingest.told import NOON, a_scan, every_projection, in_envelope, project

POSTGRES = PGDialect()  # type: ignore[no-untyped-call]
TABLES = [table for projection in every_projection() for table in projection.tables]


def a_history(random: Random, length: int = 120) -> list[Envelope[IngestEvent]]:
    """Scans with many equal times, so that ties matter, and some of them quarantined."""
    history: list[Envelope[IngestEvent]] = []
    for number in range(length):
        scan = a_scan(
            number,
            kind=random.choice(["ITEM", "ITEM", "BOX", "CLOSE", "ERROR"]),
            operator=random.choice(["anna", "boris", ""]),
            client=random.choice(["ivancov", ""]),
            city=random.choice(["Novosem", "Rostov"]),
            box=f"ivancov/{random.randrange(4)}",
            source=random.choice(["pwa", "pwa", "dashboard"]),
            scanned_at=NOON + timedelta(hours=random.randrange(-20, 20)),
            received_at=NOON + timedelta(seconds=random.randrange(3)),
        )
        history.append(in_envelope(scan, tenant=random.choice(["demo", "other"])))
        if not random.randrange(10):
            bad = ScanQuarantined(
                scan_id=scan.scan_id, raw="{}", code="bad_ts", reason="", received_at=NOON
            )
            history.append(in_envelope(bad))
    return history


def cut(random: Random, history: list[Envelope[IngestEvent]]) -> list[list[Envelope[IngestEvent]]]:
    """The history in another order, in batches of any size; that none comes twice is promised."""
    shuffled = random.sample(history, len(history))
    batches, start = [], 0
    while start < len(shuffled):
        size = random.randrange(1, 40)
        batches.append(shuffled[start : start + size])
        start += size
    return batches


async def tables(pool: Pool) -> dict[str, list[Any]]:
    """Everything in the read models, in one order."""
    return {
        table: [tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY {table}")]
        for table in TABLES
    }


async def clear(pool: Pool) -> None:
    for table in TABLES:
        await pool.execute(f"DELETE FROM {table}")


async def test_batches_and_order_of_arrival_do_not_matter(pool: Pool) -> None:
    for seed in range(12):
        random = Random(seed)
        history = a_history(random)
        await clear(pool)
        await project(pool, history)
        at_once = await tables(pool)
        assert all(at_once.values())

        await clear(pool)
        for batch in cut(random, history):
            await project(pool, batch)

        assert await tables(pool) == at_once, f"seed {seed}"


async def test_lanes_side_by_side_neither_block_nor_disturb_each_other(pool: Pool) -> None:
    history = a_history(Random(1), 400)
    await project(pool, history)
    at_once = await tables(pool)
    await clear(pool)

    async def lane(number: int) -> None:
        for batch in cut(Random(number), history[number::3]):
            await project(pool, batch)

    await asyncio.gather(*(lane(number) for number in range(3)))

    assert await tables(pool) == at_once


async def test_another_tenant_sees_nothing(reading_pool: Pool, pool: Pool) -> None:
    await project(pool, a_history(Random(2)))

    async with reading_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('tillstream.tenant', 'third', true)")
        for table in TABLES:
            assert not await connection.fetch(f"SELECT * FROM {table}"), table


@pytest.mark.parametrize("table", [ACTIVITY, PRESENCE, SCAN_LOG, QUARANTINE], ids=str)
async def test_the_tables_are_as_the_migrations_made_them(pool: Pool, table: Any) -> None:
    columns: Sequence[Any] = await pool.fetch(
        """SELECT column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_schema = 'ingest' AND table_name = $1 ORDER BY ordinal_position""",
        table.name,
    )

    assert [(name, kind.upper(), nullable == "YES") for name, kind, nullable in columns] == [
        (column.name, str(column.type.compile(POSTGRES)), column.nullable)
        for column in table.columns
    ]
