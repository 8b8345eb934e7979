"""Scans by the thousand: as devices send them, and as the log holds them.

And the physical limit of the log: rows sent to the same table with nothing around it.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count as numbered
from itertools import islice
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.store import Fact
from services.ingest.scans.domain import identity

TENANT: Final = "demo"
ZONE: Final = ZoneInfo("Europe/Moscow")
OPERATORS: Final = 100
CLIENTS: Final = 20
CITIES: Final = 5
BOX_SIZE: Final = 40
CODEC: Final = Codec[IngestEvent](EVENTS)

COLUMNS: Final = (
    *("event_id", "tenant", "stream", "version", "type", "schema_version"),
    *("data", "metadata", "occurred_at"),
)
METADATA: Final = (
    '{"actor":"bench","correlation_id":"0199f5a0-7c1e-7a52-9d53-0d6f4f6f1f5e",'
    '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}'
)


def _scan_payload(n: int) -> dict[str, Any]:
    """What the n-th scan says: every operator fills box after box, client after client."""
    operator, step = n % OPERATORS, n // OPERATORS
    box, place = divmod(step, BOX_SIZE)
    client = f"client-{(operator + box // 10) % CLIENTS:02}"
    kind = {0: "BOX", BOX_SIZE - 1: "CLOSE"}.get(place, "ERROR" if place == 7 else "ITEM")
    return {
        "kind": kind,
        "operator": f"operator-{operator:03}",
        "client": client,
        "city": f"city-{operator % CITIES}",
        "box": f"{client}/{operator}-{box}",
    }


def batches(count: int, *, size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies of `size` new scans made now, each of one operator, with the id of its first."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    for n in range(count):
        payload = _scan_payload(n)
        ids = [str(uuid4()) for _ in range(size)]
        # Written out, because a body must not cost the generator more than its sending.
        end = (
            f'","ts":{now},"type":"ITEM","operator":"{payload["operator"]}",'
            f'"client":"{payload["client"]}","city":"{payload["city"]}","box":"{payload["box"]}",'
            '"code":"2042469234860","details":"",'
            '"source":"pwa"}'
        )
        yield ids[0], ('{"events":[{"uuid":"' + f'{end},{{"uuid":"'.join(ids) + end + "]}").encode()


def facts(count: int, *, seed: int = 1) -> Iterator[Fact[IngestEvent]]:
    """Scans of today up to now, in the order they were made; the same ids for the same seed."""
    chance, namespace = random.Random(seed), identity.namespace(TENANT)
    now = datetime.now(UTC)
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    span = min(now - midnight, timedelta(hours=8))
    for n in range(count):
        payload, at = _scan_payload(n), now - span * (1 - n / count)
        scan_id = ScanId(UUID(int=chance.getrandbits(128), version=4))
        scan = ScanRecorded(
            scan_id=scan_id,
            **payload,
            code=f"20424692{n % 100_000:05}",
            details=None,
            source="pwa",
            scanned_at=at,
            received_at=at,
            effective_at=at,
            skewed=False,
        )
        yield Fact(
            event_id=identity.scan_event(namespace, scan_id),
            stream=identity.scan_stream(namespace, payload["operator"]),
            event=scan,
            occurred_at=at,
        )


def row(fact: Fact[IngestEvent], *, version: int | None = None) -> tuple[Any, ...]:
    """A fact as the log keeps it, in the order of `COLUMNS`."""
    kind, schema_version, data = CODEC.encode(fact.event)
    return (
        fact.event_id,
        TENANT,
        fact.stream,
        version,
        kind,
        schema_version,
        data.decode(),
        METADATA,
        fact.occurred_at,
    )


def pages(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    while page := list(islice(rows, size)):
        yield page


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

SEEDS: Final = numbered(1000)
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
