"""What holds for every read model: history alone decides what is in the tables."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect
from tests.services.ingest.told import NOON, a_scan, every_projection, in_envelope, project

from contracts.envelope import Envelope
from contracts.ingest import (
    IngestEvent,
    ItemRemoved,
    QuarantineDropped,
    QuarantineMended,
    RemovalRecorded,
    ScanId,
    ScanQuarantined,
    ScanRecorded,
)
from libs.postgres.pool import Pool
from services.ingest.domain import identity
from services.ingest.domain.removal import Found, Removing, decide
from services.ingest.read_models.activity_rows import ACTIVITY, TOTAL
from services.ingest.read_models.box_rows import BOX
from services.ingest.read_models.presence import PRESENCE
from services.ingest.read_models.quarantine import QUARANTINE
from services.ingest.read_models.removal import REMOVAL
from services.ingest.read_models.scan_log import SCAN_LOG

POSTGRES = PGDialect()  # type: ignore[no-untyped-call]
TABLES = [table for projection in every_projection() for table in projection.tables]


def a_history(random: Random, length: int = 120) -> list[Envelope[IngestEvent]]:
    """Scans with many equal times, so that ties matter; some are quarantined, some removed."""
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
        tenant = random.choice(["demo", "other"])
        history.append(in_envelope(scan, tenant=tenant))
        if scan.kind == "ITEM" and not random.randrange(3):
            history += [in_envelope(one, tenant=tenant) for one in a_removal(scan)]
        if not random.randrange(10):
            bad = ScanQuarantined(
                scan_id=scan.scan_id, raw="{}", code="bad_ts", reason="", received_at=NOON
            )
            history += [in_envelope(one) for one in (bad, *a_decision(random, scan.scan_id))]
    return history


def a_removal(scan: ScanRecorded) -> tuple[ItemRemoved, RemovalRecorded]:
    """That an item was removed, and the audit of it."""
    told = decide(
        [Found(scan=scan, removed=False)],
        Removing(
            removal_id=UUID(int=scan.scan_id.int + 10_000),
            kind="REMOVE",
            operator="vera",
            reason="",
            at=scan.effective_at + timedelta(hours=5),
        ),
    )
    assert told
    return told.items[0], told.audit


def a_decision(random: Random, scan_id: ScanId) -> list[IngestEvent]:
    """What somebody decided about a quarantined event, if anybody did."""
    kept_id = identity.quarantine_event(identity.namespace("demo"), scan_id)
    mended = QuarantineMended(
        quarantine_id=kept_id, scan_id=scan_id, mended_by="vera", mended_at=NOON
    )
    dropped = QuarantineDropped(
        quarantine_id=kept_id, reason="a test", dropped_by="vera", dropped_at=NOON
    )
    return random.choice([[], [mended], [dropped]])


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
    """Everything in the read models, in one order; when a row was written is no part of it."""
    found = {}
    for table in TABLES:
        rows = await pool.fetch(f"SELECT * FROM {table} AS each ORDER BY each")
        found[table] = [tuple(v for name, v in row.items() if name != "changed") for row in rows]
    return found


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


@pytest.mark.parametrize(
    "table", [ACTIVITY, TOTAL, BOX, PRESENCE, SCAN_LOG, QUARANTINE, REMOVAL], ids=str
)
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
