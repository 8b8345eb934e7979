"""Checks for all read models: the history alone determines the rows of their tables.

The tests of a service provide its projections and histories.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql.base import PGDialect

from contracts.envelope import Envelope
from libs.eventsourcing.store import EventStore, envelope
from libs.messaging.categories import category_of, wire_name
from libs.postgres.pool import Pool
from libs.projections.projection import Projection

Event = TypeVar("Event")
Events: TypeAlias = Sequence[Envelope[Any]]
Rows: TypeAlias = Mapping[str, Sequence[Any]]

_DIALECT = PGDialect()  # type: ignore[no-untyped-call]


async def apply(
    pool: Pool, service: str, projections: Iterable[Projection[Any]], events: Events
) -> None:
    """Apply one batch of events to every read model that follows their streams."""
    for projection in projections:
        followed = [
            one
            for one in events
            if category_of(wire_name(service), one.stream) in projection.topics
        ]
        async with pool.acquire() as connection, connection.transaction():
            await projection.apply(connection, followed)


@dataclass
class Projector:
    """Applies a log to read models on demand, in place of the worker.

    Also a `Consistency`: it brings the read models up to date and then reports that they are.
    `on_commit` is called after each page.
    """

    store: EventStore[Any]
    pool: Pool
    service: str
    projections: Sequence[Projection[Any]]
    position: int = 0
    on_commit: Callable[[], object] = lambda: None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def catch_up(self) -> None:
        """Apply the events appended since the last call."""
        async with self._lock:
            async for page in self.store.log.read_all(after=self.position):
                events = [envelope(one, self.store.decode(one)) for one in page]
                await apply(self.pool, self.service, self.projections, events)
                self.position = page[-1].position
                self.on_commit()

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Catch up. Returns True."""
        await self.catch_up()
        return True

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Catch up. Returns True."""
        await self.catch_up()
        return True

    async def positions(self) -> Mapping[str, int]:
        """The position of the last event that was applied, for every read model."""
        return {model.name: self.position for model in self.projections}

    async def caught_up(self, model: str, tenant: str) -> bool:
        """Catch up. Returns True."""
        return await self.wait_for_token(model, "now")


async def rows_of(
    pool: Pool, tables: Iterable[str], *, except_columns: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """All rows of the tables, sorted, without `except_columns`."""
    return {
        table: [
            tuple(value for name, value in row.items() if name not in except_columns)
            for row in await pool.fetch(f"SELECT * FROM {table} AS stored ORDER BY stored")
        ]
        for table in tables
    }


async def clear(pool: Pool, tables: Iterable[str]) -> None:
    """Delete all rows."""
    for table in tables:
        await pool.execute(f"DELETE FROM {table}")


def shuffled(random: Random, history: Events) -> list[list[Envelope[Any]]]:
    """The history in another order, in batches of random sizes below 40.

    Events with a version keep the order of their stream; facts have no version and no fixed order.
    """
    streams: dict[str, list[Envelope[Any]]] = defaultdict(list)
    for number, one in enumerate(history):
        streams[one.stream if one.version is not None else f"fact {number}"].append(one)
    order = [name for name, stream in streams.items() for _ in stream]
    random.shuffle(order)
    remaining = {name: iter(stream) for name, stream in streams.items()}
    mixed = [next(remaining[name]) for name in order]
    batches, start = [], 0
    while start < len(mixed):
        size = random.randrange(1, 40)
        batches.append(mixed[start : start + size])
        start += size
    return batches


async def assert_history_decides(
    pool: Pool,
    apply_batch: Callable[[Events], Awaitable[None]],
    histories: Iterable[Events],
    tables: Sequence[str],
    *,
    except_columns: Sequence[str] = (),
    partitions: int = 3,
) -> None:
    """Assert that each history leaves the same rows whole, shuffled, and in parallel partitions.

    Each stream belongs to one of the partitions and keeps its order. Every table must have rows in
    the end, otherwise the history proves nothing about it.
    """
    for number, history in enumerate(histories):
        await clear(pool, tables)
        await apply_batch(history)
        expected = await rows_of(pool, tables, except_columns=except_columns)
        assert all(expected.values()), f"history {number} leaves a table empty"

        await clear(pool, tables)
        for batch in shuffled(Random(number), history):
            await apply_batch(batch)
        actual = await rows_of(pool, tables, except_columns=except_columns)
        assert actual == expected, f"history {number}, shuffled"

        await clear(pool, tables)
        await asyncio.gather(
            *(
                _apply_all(
                    apply_batch,
                    shuffled(Random(partition), _partition(history, partition, partitions)),
                )
                for partition in range(partitions)
            )
        )
        actual = await rows_of(pool, tables, except_columns=except_columns)
        assert actual == expected, f"history {number}, {partitions} concurrent partitions"


async def _apply_all(
    apply_batch: Callable[[Events], Awaitable[None]], batches: Iterable[Events]
) -> None:
    for batch in batches:
        await apply_batch(batch)


def _partition(history: Events, partition: int, partitions: int) -> Events:
    return [one for one in history if sum(one.stream.encode()) % partitions == partition]


async def assert_tenants_are_isolated(pool: Pool, tables: Iterable[str]) -> None:
    """Assert that the tables have rows, and that a tenant without rows sees none.

    `pool` must be a `tenant_pool`, whose connections see one tenant at a time.
    """
    async with pool.acquire() as connection, connection.transaction():
        for table in tables:
            await connection.execute("SELECT set_config('tillstream.tenant', '*', true)")
            assert await connection.fetch(f"SELECT FROM {table} LIMIT 1"), f"{table} is empty"
            await connection.execute("SELECT set_config('tillstream.tenant', 'third', true)")
            assert not await connection.fetch(f"SELECT FROM {table} LIMIT 1"), table


async def assert_migrated_as_declared(pool: Pool, schema: str, tables: Iterable[Table]) -> None:
    """Assert that each table has its declared columns, with their types and nullability."""
    for table in tables:
        columns: Sequence[Any] = await pool.fetch(
            """SELECT column_name, is_nullable,
                CASE data_type WHEN 'ARRAY' THEN substr(udt_name, 2) || '[]' ELSE data_type END
            FROM information_schema.columns
            WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position""",
            schema,
            table.name,
        )
        actual = [(name, kind.upper(), nullable == "YES") for name, nullable, kind in columns]
        assert actual == [
            (column.name, str(column.type.compile(_DIALECT)), bool(column.nullable))
            for column in table.columns
        ], table.name
