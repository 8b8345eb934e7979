"""Scales and operations as lists show them: history alone decides, however it arrives."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect

from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueConfirmed,
    CatalogueDoubted,
    CatalogueFetched,
    CatalogueInvalidated,
    DeviceChanged,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    OperationApplied,
    OperationEnded,
    OperationQueued,
    OperationSending,
    ProductEdited,
    ScaleBridgeEvent,
    VerificationDue,
)
from libs.postgres.pool import Pool
from services.scale_bridge.domain.device import device_id_of
from services.scale_bridge.read_models import device, operation
from services.scale_bridge.read_models.device import DEVICE
from services.scale_bridge.read_models.operation import OPERATION

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
POSTGRES = PGDialect()  # type: ignore[no-untyped-call]
OWNER = UUID(int=9)
TABLES = ("device", "operation")


def made(kind: type[Any], **told: Any) -> Any:
    """An event, with anything in the fields that do not matter."""
    blank: dict[str, Any] = {
        "device_id": device_id_of(1),
        "operation_id": UUID(int=1),
        "number": 1,
        "port": 1111,
        "owner": OWNER,
        "bridge": None,
        "revision": 1,
        "items": 5,
        "attempt": 1,
        "attempts": 1,
        "result": None,
        "full": False,
        "before": {},
        "after": {},
        "next_verification": None,
        "due_on": NOW.date(),
        "days": 30,
    }
    given = {}
    for field in fields(kind):
        other = NOW if field.name.endswith("_at") else field.name
        given[field.name] = told.get(field.name, blank.get(field.name, other))
    return kind(**given)


def a_stream(random: Random, number: int) -> list[list[ScaleBridgeEvent]]:
    """What happens to one device: its own stream, its catalogue's, and those of operations."""
    of = {"device_id": device_id_of(number)}
    own = [made(DeviceRegistered, number=number, **of)]
    for at in range(random.randrange(4)):
        bridge = random.choice([None, UUID(int=3)])
        own.append(made(DeviceChanged, name=f"name {at}", bridge=bridge, **of))
    for at in range(random.randrange(5)):
        day = NOW.date() + timedelta(days=random.randrange(40))
        said = {"shop": f"shop {at}", "next_verification": random.choice([None, day])}
        told = {"due_on": day, "days": random.choice([30, 7, 0])}
        kind = random.choice([DeviceProfiled, VerificationDue, DeviceChanged])
        own.append(made(kind, **said, **told, **of))
    if random.random() < 0.3:
        own.append(made(DeviceRemoved, **of))
    catalogue, revision = [made(CatalogueFetched, revision=1, **of)], 1
    for _ in range(random.randrange(12)):
        kind = random.choice(
            [ProductEdited, CatalogueFetched, CatalogueInvalidated, CatalogueConfirmed,
             CatalogueDoubted]
        )  # fmt: skip
        revision += kind not in (CatalogueConfirmed, CatalogueDoubted)
        catalogue.append(made(kind, revision=revision, **of))
    return [own, catalogue, *(an_operation(random, of) for _ in range(3))]


def an_operation(random: Random, of: dict[str, Any]) -> list[ScaleBridgeEvent]:
    of = of | {"operation_id": uuid4()}
    told = [made(OperationQueued, **of)]
    told += [made(OperationSending, attempt=n + 1, **of) for n in range(random.randrange(3))]
    if random.random() < 0.5:
        told.append(made(OperationApplied, **of))
    if random.random() < 0.8:
        told.append(made(OperationEnded, attempts=len(told), **of))
    return told


def envelopes(stream: Sequence[ScaleBridgeEvent], tenant: str) -> list[Envelope[ScaleBridgeEvent]]:
    return [
        Envelope(
            event_id=uuid4(),
            tenant=tenant,
            stream="any",
            version=version,
            occurred_at=NOW,
            recorded_at=NOW,
            correlation_id=None,
            causation_id=None,
            actor=None,
            traceparent=None,
            event=event,
        )
        for version, event in enumerate(stream, 1)
    ]


def merged(
    random: Random, streams: Sequence[Sequence[Envelope[ScaleBridgeEvent]]]
) -> list[Envelope[ScaleBridgeEvent]]:
    """All of them, each in its order, otherwise in any."""
    left = [list(stream) for stream in streams]
    found = []
    while left := [stream for stream in left if stream]:
        found.append(random.choice(left).pop(0))
    return found


async def project(pool: Pool, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    for model in (device, operation):
        async with pool.acquire() as connection, connection.transaction():
            await model.project(connection, events)


async def tables(pool: Pool) -> dict[str, list[Any]]:
    found = {}
    for table in TABLES:
        rows = await pool.fetch(f"SELECT * FROM {table} AS each ORDER BY each")
        found[table] = [tuple(row.values()) for row in rows]
    return found


async def test_batches_and_order_of_arrival_do_not_matter(pool: Pool) -> None:
    for seed in range(10):
        random = Random(seed)
        streams = [
            envelopes(stream, random.choice(["demo", "other"]))
            for number in range(1, 6)
            for stream in a_stream(random, number)
        ]
        await pool.execute("DELETE FROM device")
        await pool.execute("DELETE FROM operation")
        await project(pool, [one for stream in streams for one in stream])
        at_once = await tables(pool)
        assert all(at_once.values())

        await pool.execute("DELETE FROM device")
        await pool.execute("DELETE FROM operation")
        events = merged(random, streams)
        while events:
            size = random.randrange(1, 9)
            await project(pool, events[:size])
            events = events[size:]

        assert await tables(pool) == at_once, f"seed {seed}"


async def test_what_was_projected_before_changes_nothing(pool: Pool) -> None:
    random = Random(3)
    streams = [envelopes(stream, "demo") for stream in a_stream(random, 1)]
    events = merged(random, streams)
    await project(pool, events)
    before = await tables(pool)

    await project(pool, events)

    assert await tables(pool) == before


async def test_another_tenant_sees_nothing(pool: Pool, reading_pool: Pool) -> None:
    streams = [envelopes(stream, "demo") for stream in a_stream(Random(1), 1)]
    await project(pool, merged(Random(1), streams))

    async with reading_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('tillstream.tenant', 'other', true)")
        for table in (*TABLES, "content", "catalogue_copy", "work", "device_name", "last_shown"):
            assert not await connection.fetch(f"SELECT * FROM {table}"), table


@pytest.mark.parametrize("table", [DEVICE, OPERATION], ids=str)
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
