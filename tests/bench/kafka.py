"""From the log to Kafka, beside a bare producer that sends the same records and headers."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.record.memory_records import MemoryRecords

from contracts.ingest import SCANS
from libs.eventsourcing.rows import TEXT_COLUMNS
from libs.messaging.publisher import MAX_BATCH_BYTES, Publisher
from libs.messaging.record_batch import RecordBatch, RecordEncoder, StreamParts
from libs.messaging.relay import Relay
from libs.messaging.topics import partition_of, topic_name
from libs.messaging.wire import Headers, Row, label
from tests.bench.bench import Bench, Loop
from tests.bench.house import Installation
from tests.bench.measure import PATIENCE_SECONDS, Measured, at_least
from tests.bench.meter import Costs, Meter
from tests.bench.stored import copy_in

PARTITIONS: Final = 6
FORGET_SENT: Final = """
    DELETE FROM ingest.relay;
    INSERT INTO ingest.relay DEFAULT VALUES;
    DELETE FROM ingest.relay_heads;
"""

Message: TypeAlias = tuple[int, bytes, bytes, Headers]
"""Partition, key, value, headers."""


def relay(bench: Bench) -> Iterator[Measured]:
    """The same events each time; before every sample the relay forgets that it sent them."""
    with bench.servers.installation() as installation, Loop() as loop:
        loop.do(copy_in(installation, bench.scale.records, bench))
        messages = loop.do(read(installation))
        pids = {"this process": os.getpid(), "kafka": bench.servers.kafka.pid}
        postgres = bench.servers.postgres.pid
        meter = Meter(installation.database_url, lambda: pids, postgres=postgres)
        paid, bare = Costs("relay", meter), Costs("bare send() per record", meter)

        async def costed(costs: Costs, sample: Awaitable[float]) -> float:
            with costs.sample(len(messages)):
                return await sample

        ours, each, batched = bench.interleaved(
            loop.side(lambda: costed(paid, drain(installation, len(messages)))),
            loop.side(lambda: costed(bare, send(installation, messages, send_each))),
            loop.side(lambda: send(installation, messages, send_batches)),
        )
    for name, reference, goal in (
        ("bare send() per record", each, at_least(0.85)),
        ("bare send_batch() per partition", batched, at_least(0.4)),
    ):
        yield Measured(
            f"relay drain vs {name}",
            ours,
            reference,
            goal=goal,
            costs=(paid.total, bare.total) if reference is each else (),
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
    def counting(page: Sequence[Any]) -> Iterator[None]:
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
    async with installation.connected() as connection:
        rows = await connection.fetch(f"SELECT {TEXT_COLUMNS} FROM ingest.events ORDER BY position")
    return [
        (partition_of(row["stream"], PARTITIONS), *message)
        for row, message in zip(rows, _messages(rows), strict=True)
    ]


def _messages(rows: Sequence[Row]) -> Iterator[tuple[bytes, bytes, Headers]]:
    """Key, value and headers of each row. What they have in common is one object, as it is where a
    producer makes them."""
    encode, labels = RecordEncoder("ingest").encode, label(str(uuid4()), str(uuid4()))
    common: dict[Any, Any] = {}
    for seq, row in enumerate(rows, 1):
        batch = RecordBatch(MAX_BATCH_BYTES, 0)
        batch.add(encode(row, seq, seq - 1, StreamParts(row["stream"]), labels))
        for record in MemoryRecords(bytes(batch._build())).next_batch():
            headers = [common.setdefault(header, header) for header in record.headers]
            yield record.key, record.value, headers


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


async def _execute(installation: Installation, sql: str) -> None:
    async with installation.connected() as connection:
        await connection.execute(sql)
