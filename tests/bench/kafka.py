"""From the log to Kafka beside a bare producer, and from Kafka into a read model beside a copy.

The bare producer sends the same records and headers. The read model is `scan_log`, because it
keeps a row of every scan, which is what COPY can do too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from contracts.ingest import SCANS, ScanRecorded
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.messaging.projector import Projector, Source
from libs.messaging.publisher import MAX_BATCH_BYTES, Publisher
from libs.messaging.relay import Relay
from libs.messaging.topics import partition_of, topic_name
from libs.messaging.wire import Headers, encode_headers
from services.ingest.domain.day import day_of
from services.ingest.read_models import scan_log
from tests.bench.bench import Bench, Loop
from tests.bench.house import Installation
from tests.bench.measure import PATIENCE_SECONDS, Measured, at_least
from tests.bench.scans import TENANT, ZONE
from tests.bench.stored import copy_in

PARTITIONS: Final = 6
FORGET_SENT: Final = """
    DELETE FROM ingest.relay;
    INSERT INTO ingest.relay DEFAULT VALUES;
    DELETE FROM ingest.relay_heads;
"""

Message: TypeAlias = tuple[int, bytes, bytes, Headers]
"""Partition, key, value, headers."""

POLLED: Final = 2000
TABLE: Final = "CREATE TABLE IF NOT EXISTS bare_scan_log (LIKE ingest.scan_log INCLUDING ALL)"
FORGET_APPLIED: Final = """
    TRUNCATE ingest.scan_log;
    DELETE FROM ingest.generations WHERE projection = 'scan_log';
"""
SAID: Final = ("scan_id", "kind", "operator", "client", "city", "box", "code", "details", "source")
MOMENTS: Final = ("scanned_at", "received_at", "effective_at", "skewed")
COLUMNS: Final = ("tenant", "day", *SAID, *MOMENTS)


def relay(bench: Bench) -> Iterator[Measured]:
    """The same events each time; before every sample the relay forgets that it sent them."""
    with bench.servers.installation() as installation, Loop() as loop:
        loop.do(copy_in(installation, bench.scale.records, bench))
        messages = loop.do(read(installation))
        ours, each, batched = bench.interleaved(
            loop.side(lambda: drain(installation, len(messages))),
            loop.side(lambda: send(installation, messages, send_each)),
            loop.side(lambda: send(installation, messages, send_batches)),
        )
    for name, reference, goal in (
        ("bare send() per record", each, at_least(0.8)),
        ("bare send_batch() per partition", batched, None),
    ):
        yield Measured(
            f"relay drain vs {name}",
            ours,
            reference,
            goal=goal,
            note="the relay reads from Postgres and numbers; the bare loops have all in memory",
        )


async def drain(installation: Installation, events: int) -> float:
    """Events a second, from the moment the producer is ready until the last is confirmed."""
    stop, began, sent = asyncio.Event(), 0.0, 0

    async def connect() -> Publisher:
        nonlocal began
        publisher = await Publisher.connect(
            installation.backends.kafka_bootstrap, service="ingest", prefix=installation.prefix
        )
        began = time.perf_counter()
        return publisher

    @contextmanager
    def counting(page: Sequence[RecordedEvent]) -> Iterator[None]:
        nonlocal sent
        yield
        sent += len(page)
        if sent >= events:
            stop.set()

    await _execute(installation, FORGET_SENT)
    async with installation.pool(2) as pool:
        running = asyncio.ensure_future(Relay(pool, connect, span=counting).run(stop))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await stop.wait()
        took = time.perf_counter() - began
        await running
    return events / took


async def read(installation: Installation) -> list[Message]:
    """The whole log as messages, ready to be sent."""
    async with installation.pool(1) as pool:
        recorded = [event async for page in PostgresLog(pool).read_all() for event in page]
    return [
        (
            partition_of(event.stream, PARTITIONS),
            event.stream.encode(),
            event.data,
            encode_headers("ingest", event, seq, seq - 1),
        )
        for seq, event in enumerate(recorded, 1)
    ]


Sending: TypeAlias = Callable[[AIOKafkaProducer, str, Sequence[Message]], Awaitable[None]]


async def send(installation: Installation, messages: Sequence[Message], sending: Sending) -> float:
    """Events a second of a bare producer, set as the relay's is."""
    topic = topic_name(installation.prefix, SCANS)
    async with AIOKafkaProducer(
        bootstrap_servers=installation.backends.kafka_bootstrap,
        enable_idempotence=True,
        acks="all",
        max_batch_size=MAX_BATCH_BYTES,
    ) as producer:
        await producer.partitions_for(topic)
        began = time.perf_counter()
        await sending(producer, topic, messages)
        return len(messages) / (time.perf_counter() - began)


async def send_each(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> None:
    """One `send()` per record, confirmed at the end."""
    confirmations = [
        await producer.send(topic, value, key=key, partition=partition, headers=headers)
        for partition, key, value, headers in messages
    ]
    await asyncio.gather(*confirmations)


async def send_batches(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> None:
    """As few batches as they fit in, all partitions side by side."""
    lanes: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    for message in messages:
        lanes[message[0]].append(message)
    await asyncio.gather(*(_send_lane(producer, topic, lane) for lane in lanes if lane))


async def _send_lane(producer: AIOKafkaProducer, topic: str, lane: Sequence[Message]) -> None:
    confirmations: list[Awaitable[Any]] = []
    batch, partition = producer.create_batch(), lane[0][0]
    for _, key, value, headers in lane:
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            confirmations.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None, headers=headers)
    confirmations.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*confirmations)


def projector(bench: Bench) -> Iterator[Measured]:
    """The same records each time; before every sample the table is emptied."""
    events = bench.scale.records
    with bench.servers.installation() as installation, Loop() as loop:
        loop.do(copy_in(installation, events, bench))
        loop.do(drain(installation, events))
        ours, reference = bench.interleaved(
            loop.side(lambda: catch_up(installation, events)),
            loop.side(lambda: copy(installation, events)),
        )
    yield Measured(
        "projector catch-up (scan_log) vs bare consume + COPY",
        ours,
        reference,
        goal=at_least(0.5),
        note="into the same columns and indexes; both counted from the end of the first batch",
    )


class _Stopwatch:
    """Counts from the end of the first batch, so that joining a group does not count."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._first = 0
        self._began = self._ended = time.perf_counter()
        self._done = 0
        self.over = asyncio.Event()

    def applied(self, number: int) -> None:
        self._ended = time.perf_counter()
        self._done += number
        if self._done == number < self._events:
            self._first, self._began = number, self._ended
        if self._done >= self._events:
            self.over.set()

    @property
    def rate(self) -> float:
        return (self._done - self._first) / (self._ended - self._began)


async def catch_up(installation: Installation, events: int) -> float:
    """Events a second of the projector, in a group of its own."""
    await _execute(installation, FORGET_APPLIED)
    stop, watch = asyncio.Event(), _Stopwatch(events)

    def applied(_: str, recorded: Sequence[RecordedEvent], __: int, ___: int) -> None:
        watch.applied(len(recorded))

    source = Source(
        bootstrap=installation.backends.kafka_bootstrap,
        prefix=installation.prefix,
        group=f"bench.{uuid4()}",
    )
    async with installation.pool(3) as pool:
        work = Projector(pool, scan_log.projection(ZONE), source, on_applied=applied)
        running = asyncio.ensure_future(work.run(stop))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await watch.over.wait()
        finally:
            stop.set()
            await running
    return watch.rate


async def copy(installation: Installation, events: int) -> float:
    """Events a second of a bare consumer that decodes and copies."""
    await _execute(installation, f"{TABLE}; TRUNCATE bare_scan_log")
    consumer = AIOKafkaConsumer(
        topic_name(installation.prefix, SCANS),
        bootstrap_servers=installation.backends.kafka_bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    decode, watch = msgspec.json.Decoder(ScanRecorded).decode, _Stopwatch(events)
    async with consumer, installation.connected() as connection:
        while not watch.over.is_set():
            polled = await consumer.getmany(timeout_ms=200, max_records=POLLED)
            rows = [_row(decode(record.value)) for lane in polled.values() for record in lane]
            if rows:
                await connection.copy_records_to_table(
                    "bare_scan_log", columns=COLUMNS, records=rows
                )
                watch.applied(len(rows))
    return watch.rate


async def _execute(installation: Installation, sql: str) -> None:
    async with installation.connected() as connection:
        await connection.execute(sql)


def _row(scan: ScanRecorded) -> tuple[Any, ...]:
    said = (getattr(scan, name) for name in (*SAID, *MOMENTS))
    return (TENANT, day_of(scan.effective_at, ZONE), *said)
