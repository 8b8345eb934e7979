"""The same hops without guarantees: what the machine can do with the same parts.

A bare ASGI application inserts, one loop sends pages of the log to Kafka, another writes the rows
of the read models, and what is in memory is lost with the process: no authentication, no repeats
distinguished, no numbers, no checkpoints. The tables and their indexes are copies of ingest's.

`granian … tests.bench.bare:app` is the way in, `python -m tests.bench.bare` the rest. In the
environment are `DATABASE_URL`, `KAFKA_BOOTSTRAP_SERVERS` and `TOPIC`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from contracts.ingest import ScanId, ScanRecorded
from libs.messaging.publisher import MAX_BATCH_BYTES
from libs.messaging.topics import partition_of
from services.ingest.scans.domain.day import day_of
from tests.bench.scans import MANY, METADATA, TENANT, ZONE

SCHEMA: Final = "bare"
MODELS: Final = (
    *("scan_log", "scan_count", "operator_name", "activity", "activity_total"),
    *("presence", "box"),
)
CREATE: Final = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.bare_events (LIKE ingest.events INCLUDING ALL);
""" + "".join(f"CREATE TABLE {SCHEMA}.{n} (LIKE ingest.{n} INCLUDING ALL);" for n in MODELS)
VISIBLE: Final = f"""
SELECT coalesce(sum(count), 0)::bigint FROM {SCHEMA}.activity_total WHERE dimension = 'city'
"""

CONNECTIONS: Final = 32
PARTITIONS: Final = 6
PAGE: Final = 2000
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.05

NEXT: Final = """
SELECT xid::text, position, stream, data FROM bare_events
WHERE (xid, position) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, position LIMIT $3
"""
STATE: Final = "SELECT * FROM activity_total WHERE tenant = $1 AND day = $2"

SCANS: Final = (
    *("day", "scan_id", "kind", "operator", "client", "city", "box", "code", "details", "source"),
    *("scanned_at", "received_at", "effective_at", "skewed"),
)
_TYPES: Final = "date uuid" + 8 * " text" + 3 * " timestamptz" + " boolean"
_ARRAYS: Final = ", ".join(f"${n}::{one}[]" for n, one in enumerate(_TYPES.split(), 2))
UPSERTS: Final = f"""
WITH page AS MATERIALIZED (
    SELECT $1::text AS tenant, page.* FROM unnest({_ARRAYS}) AS page ({", ".join(SCANS)})
), logged AS (
    INSERT INTO scan_log (tenant, {", ".join(SCANS)}) SELECT * FROM page ON CONFLICT DO NOTHING
), counted AS (
    INSERT INTO scan_count AS known
    SELECT tenant, day, minutes, date_bin(make_interval(mins => minutes), received_at, 'epoch'),
        operator, client, city, kind, count(*)
    FROM page, (VALUES (60::smallint), (1::smallint)) AS grain (minutes)
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT (tenant, day, minutes, since, operator, client, city, kind)
    DO UPDATE SET count = known.count + excluded.count
), named AS (
    INSERT INTO operator_name SELECT tenant, operator, operator, min(received_at), min(scanned_at)
    FROM page GROUP BY 1, 2 ON CONFLICT DO NOTHING
), acted AS (
    INSERT INTO activity AS known (tenant, day, operator, client, city, kind, count, removed,
        last_received_at, last_at, last_scan_id, last_box)
    SELECT tenant, day, operator, client, city, kind, count(*), 0,
        max(received_at), max(scanned_at), max(scan_id::text)::uuid, max(box)
    FROM page GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (tenant, day, operator, client, city, kind) DO UPDATE
    SET count = known.count + excluded.count, changed = excluded.changed,
        last_received_at = excluded.last_received_at, last_at = excluded.last_at,
        last_scan_id = excluded.last_scan_id, last_box = excluded.last_box
), summed AS (
    INSERT INTO activity_total AS known (tenant, day, dimension, name, count, removed, items,
        opens, closes, auto_closes, errors, last_received_at, last_at, last_scan_id, last_client,
        last_city, last_box)
    SELECT tenant, day, dimension, name, count(*), 0, count(*) FILTER (WHERE kind = 'ITEM'),
        count(*) FILTER (WHERE kind = 'BOX'), count(*) FILTER (WHERE kind = 'CLOSE'), 0,
        count(*) FILTER (WHERE kind = 'ERROR'), max(received_at), max(scanned_at),
        max(scan_id::text)::uuid, max(client), max(city), max(box)
    FROM page, LATERAL (VALUES ('operator', operator), ('client', client), ('city', city))
        AS part (dimension, name)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant, day, dimension, name) DO UPDATE
    SET count = known.count + excluded.count, items = known.items + excluded.items,
        opens = known.opens + excluded.opens, closes = known.closes + excluded.closes,
        errors = known.errors + excluded.errors,
        last_received_at = excluded.last_received_at, last_at = excluded.last_at,
        last_scan_id = excluded.last_scan_id, last_client = excluded.last_client,
        last_city = excluded.last_city, last_box = excluded.last_box
), seen AS (
    INSERT INTO presence SELECT tenant, operator, max(received_at) FROM page GROUP BY 1, 2
    ON CONFLICT (tenant, operator) DO UPDATE SET last_seen_at = excluded.last_seen_at
)
INSERT INTO box AS known (tenant, day, client, city, box, operator, number_key, items, first_at,
    last_at)
SELECT tenant, day, client, city, box, operator, box, count(*) FILTER (WHERE kind = 'ITEM'),
    min(effective_at), max(effective_at)
FROM page GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant, day, client, city, box, operator) DO UPDATE
SET items = known.items + excluded.items, last_at = excluded.last_at, changed = excluded.changed
"""

Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Scan(msgspec.Struct):
    """A scan as devices send it."""

    uuid: UUID
    ts: int
    type: str
    operator: str
    client: str
    city: str
    box: str
    code: str
    source: str


class Batch(msgspec.Struct):
    events: list[Scan]


_read_batch: Final = msgspec.json.Decoder(Batch).decode
_read_scan: Final = msgspec.json.Decoder(ScanRecorded).decode
_write: Final = msgspec.json.Encoder().encode


class Application:
    """The way in, and the question a dashboard asks."""

    def __init__(self) -> None:
        self._pool: Any = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "POST":
            await self._insert(receive)
            await _answer(send, b'{"ok":true}')
        else:
            rows = await self._pool.fetch(STATE, TENANT, day_of(datetime.now(UTC), ZONE))
            await _answer(send, _write([dict(row) for row in rows]))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = await asyncpg.create_pool(
            os.environ["DATABASE_URL"],
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            server_settings={"search_path": SCHEMA, "application_name": "bare api"},
            # Nothing is set in a session, so nothing need be reset.
            reset=_as_it_is,
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _insert(self, receive: Receive) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        now = datetime.now(UTC)
        rows = [_event(scan, now) for scan in _read_batch(body).events]
        await self._pool.execute(MANY, *zip(*rows, strict=True))


async def _as_it_is(_: Any) -> None:
    return None


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _event(scan: Scan, now: datetime) -> tuple[Any, ...]:
    at = datetime.fromtimestamp(scan.ts / 1000, UTC)
    recorded = ScanRecorded(
        scan_id=ScanId(scan.uuid),
        kind=scan.type,
        operator=scan.operator,
        client=scan.client,
        city=scan.city,
        box=scan.box,
        code=scan.code,
        details=None,
        source=scan.source,
        scanned_at=at,
        received_at=now,
        effective_at=at,
        skewed=False,
    )
    data, stream = _write(recorded).decode(), f"scan-{scan.operator}"
    return scan.uuid, TENANT, stream, None, "ScanRecorded", 1, data, METADATA, at


app: Final = Application()


class Tail:
    """The log page by page, behind the oldest transaction that runs."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._place = ("0", 0)

    async def page(self) -> Sequence[Any]:
        """The next rows, as soon as there are any."""
        pause = SHORTEST_PAUSE
        while True:
            rows: Sequence[Any] = await self._connection.fetch(NEXT, *self._place, PAGE)
            if rows:
                self._place = rows[-1]["xid"], rows[-1]["position"]
                return rows
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def relay(connection: Any, producer: AIOKafkaProducer, topic: str) -> None:
    """Send page after page, a batch per partition."""
    tail = Tail(connection)
    while True:
        lanes: dict[int, list[Any]] = {}
        for row in await tail.page():
            lanes.setdefault(partition_of(row["stream"], PARTITIONS), []).append(row)
        sent = [await _send(producer, topic, lane, rows) for lane, rows in lanes.items()]
        await asyncio.gather(*sent)


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Any]
) -> Awaitable[Any]:
    batch = producer.create_batch()
    for row in rows:
        key, value = row["stream"].encode(), row["data"].encode()
        if batch.append(key=key, value=value, timestamp=None) is None:
            raise OverflowError("a page of one partition does not fit into a batch")
    confirmed: Awaitable[Any] = await producer.send_batch(batch, topic, partition=partition)
    return confirmed


async def project(connection: Any) -> None:
    """Write page after page into the read models, all of them in one statement."""
    tail = Tail(connection)
    while True:
        scans = [_read_scan(row["data"]) for row in await tail.page()]
        columns = [[day_of(scan.effective_at, ZONE) for scan in scans]]
        columns += [[getattr(scan, name) for scan in scans] for name in SCANS[1:]]
        await connection.execute(UPSERTS, TENANT, *columns)


async def _connect(name: str) -> Any:
    settings = {"search_path": SCHEMA, "application_name": name, "synchronous_commit": "off"}
    return await asyncpg.connect(os.environ["DATABASE_URL"], server_settings=settings)


async def main() -> None:
    """Relay and project until the process is ended."""
    relaying, projecting = await _connect("bare relay"), await _connect("bare worker")
    async with AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        enable_idempotence=True,
        acks="all",
        max_batch_size=2 * MAX_BATCH_BYTES,
    ) as producer:
        await asyncio.gather(relay(relaying, producer, os.environ["TOPIC"]), project(projecting))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
