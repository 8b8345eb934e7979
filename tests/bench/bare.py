"""The physical limit of the log: rows sent to the same table with nothing around it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, Final

import asyncpg

from tests.bench.scans import COLUMNS, facts, pages, row

TABLE: Final = "CREATE TABLE IF NOT EXISTS bare_events (LIKE ingest.events INCLUDING ALL)"

INTO: Final = f"INSERT INTO bare_events ({', '.join(COLUMNS)})"
ONE: Final = f"{INTO} VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9)"
MANY: Final = f"""{INTO}
SELECT event_id, tenant, stream, version, type, schema_version, data::jsonb, metadata::jsonb,
    occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::smallint[],
    $7::text[], $8::text[], $9::timestamptz[])
    AS given (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
"""

SEEDS: Final = count(1000)
Row = Sequence[Any]


@asynccontextmanager
async def open_connections(dsn: str, number: int) -> AsyncIterator[list[Any]]:
    """Connections at a table like the log's, indexes included."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(number):
            connections.append(await asyncpg.connect(dsn))
            stack.push_async_callback(connections[-1].close)
        await connections[0].execute(TABLE)
        yield connections


async def insert_each(connections: Sequence[Any], events: int) -> float:
    """Events a second, one row per statement, every connection by itself."""
    rows = iter([row(fact) for fact in facts(events, seed=next(SEEDS))])
    return await _timed(connections, rows, events, ONE)


async def insert_batches(connections: Sequence[Any], batches: int, *, size: int) -> float:
    """Events a second, `size` rows per statement, every connection by itself."""
    rows = (row(fact) for fact in facts(batches * size, seed=next(SEEDS)))
    columns = iter([[*zip(*page, strict=True)] for page in pages(rows, size)])
    return await _timed(connections, columns, batches * size, MANY)


async def _timed(
    connections: Sequence[Any], arguments: Iterator[Row], events: int, sql: str
) -> float:
    async def client(connection: Any) -> None:
        statement = await connection.prepare(sql)
        for each in arguments:
            await statement.fetch(*each)

    began = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    return events / (time.perf_counter() - began)
