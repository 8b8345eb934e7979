"""A laboratory: a small service with a log, topics of its own, and one read model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import ANY, Appended, LogUnavailable, Metadata, RecordedEvent
from libs.eventsourcing.store import EventStore
from libs.messaging.publisher import LogIdentity, Publisher
from libs.messaging.reader import end_offsets, open_reader
from libs.messaging.relay import Polling, Relay
from libs.projections import runner as projections
from libs.projections.projection import Connection, Projection
from libs.projections.runner import ProjectionRunner
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.messaging.chain import faults_of, numbers_of
from tests.libs.messaging.history import Ack, History
from tests.libs.messaging.wires import text_row

SERVICE = "lab"
METADATA = Metadata(tenant="demo")
STREAMS = 5
BATCH_BYTES = 4096
LEDGER = """CREATE TABLE ledger (
    tenant text, stream text, seen integer[] NOT NULL, versions integer[] NOT NULL,
    PRIMARY KEY (tenant, stream)
)"""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event whose number is stored in the ledger."""

    n: int


@dataclass(frozen=True, slots=True)
class Cursed:
    """An event on which the projection fails while `cursed` is set."""

    n: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """An event the projection does not know."""

    n: int


CODEC: Codec[Any] = Codec([Numbered, Cursed])
WRITER_CODEC: Codec[Any] = Codec([Numbered, Cursed, Foreign])


class Ledger:
    """A read model that reveals order, loss and doubling: all events of every stream."""

    def __init__(self, *, cursed: bool = True, table: str = "ledger") -> None:
        self.cursed = cursed
        self.table = table
        self.known = False
        self.batches: list[int] = []

    async def project(self, connection: Connection, events: Sequence[Envelope[Any]]) -> None:
        if self.cursed and any(isinstance(envelope.event, Cursed) for envelope in events):
            raise ValueError("a cursed event")
        self.batches.append(len(events))
        streams: dict[tuple[str, str], list[Envelope[Any]]] = {}
        for envelope in events:
            streams.setdefault((envelope.tenant, envelope.stream), []).append(envelope)
        for (tenant, stream), added in sorted(streams.items()):
            await connection.execute(
                f"INSERT INTO {self.table} AS one VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (tenant, stream) DO UPDATE SET seen = one.seen || excluded.seen,"
                " versions = one.versions || excluded.versions",
                tenant,
                stream,
                [envelope.event.n for envelope in added],
                [envelope.version or 0 for envelope in added],
            )

    @property
    def projection(self) -> Projection[Any]:
        return Projection(
            name=self.table,
            tables=(self.table,),
            topics=("lab.order",),
            codec=WRITER_CODEC if self.known else CODEC,
            project=self.project,
        )


@dataclass(kw_only=True)
class Lab:
    """The parts of one service, each started and stopped by the test."""

    pool: asyncpg.Pool
    bootstrap: str
    prefix: str
    store: EventStore[Any]
    ledger: Ledger

    @property
    def topic(self) -> str:
        return f"{self.prefix}.lab.order"

    @property
    def group(self) -> str:
        return f"{self.prefix}.lab"

    async def append(self, stream: str, *events: Any) -> str:
        """Append like a client. Returns the consistency token."""
        return (await self.appended(stream, *events)).token

    async def appended(self, stream: str, *events: Any) -> Appended:
        """Append like a client. Returns the complete result."""
        return await append_with_retries(self.store, stream, events, uuid4())

    async def append_numbers(self, numbers: range) -> None:
        """Append each number to one of five streams."""
        for number in numbers:
            await self.append(order(number % STREAMS), Numbered(number))

    @asynccontextmanager
    async def live(self, count: int) -> AsyncIterator[None]:
        """Append and apply the first `count` numbers, then run relay and runner in the block."""
        await self.append_numbers(range(count))
        async with running(self.relay(), self.runner()):
            await self.applied(count)
            yield

    async def applied(self, count: int) -> None:
        """Wait until the read model has exactly the first `count` numbers."""
        await eventually(self.rows, expected(count))

    async def connect(self, deadline_seconds: float = 60) -> Publisher:
        # Batches are small, so that a page is several in every partition.
        return await Publisher.connect(
            self.bootstrap,
            service=SERVICE,
            prefix=self.prefix,
            deadline_seconds=deadline_seconds,
            max_batch_bytes=BATCH_BYTES,
        )

    def relay(
        self, connect: Callable[[], Awaitable[Publisher]] | None = None, *, page: int = 50
    ) -> Relay:
        polling = Polling(page=page, standby=0.05, longest=0.05)
        return Relay(self.pool, connect or self.connect, polling=polling)

    def runner(self, *models: Projection[Any]) -> ProjectionRunner:
        polling = projections.Polling(standby=0.05)
        return ProjectionRunner(
            self.pool, models or [self.ledger.projection], service=SERVICE, polling=polling
        )

    async def records(self) -> list[ConsumerRecord]:
        """All records of the topic, by partition and offset."""
        async with open_reader(self.bootstrap, [self.topic]) as consumer:
            ends = await end_offsets(consumer)
            await consumer.seek_to_beginning()
            read: list[ConsumerRecord] = []
            while any([await consumer.position(TopicPartition(*at)) < n for at, n in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    read += records
        return sorted(read, key=lambda record: (record.partition, record.offset))

    async def relayed(self, count: int) -> list[ConsumerRecord]:
        """Run a relay until `count` events are published. Returns the records of the topic."""
        async with running(self.relay()):
            await eventually(self.published, count)
        return await self.sent(count)

    async def published(self) -> int:
        """The number of events that Kafka has confirmed."""
        return int(
            await self.pool.fetchval(
                "SELECT CASE WHEN confirmed THEN next_seq ELSE first_seq END - 1 FROM relay"
            )
        )

    async def sent(self, count: int) -> list[ConsumerRecord]:
        """The records of the topic; asserts that they are `count` events in complete chains."""
        records = await self.records()
        assert numbers_of(records) == list(range(1, count + 1))
        assert faults_of(records) == []
        return records

    async def delete_topic(self) -> None:
        """Delete the topic and wait until it is gone."""
        async with open_admin(self.bootstrap) as admin:
            await admin.delete_topics([self.topic])
            while self.topic in await admin.list_topics():
                await asyncio.sleep(0.05)

    async def delete_records(self, before: dict[int, int]) -> None:
        """Delete records before the offset of a partition, like retention; -1 is the end."""
        async with open_admin(self.bootstrap) as admin:
            await admin.delete_records(
                {TopicPartition(self.topic, at): RecordsToDelete(n) for at, n in before.items()}
            )

    async def terminate_backends(self) -> None:
        """Terminate all other connections to the database."""
        await self.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )

    async def history(self, acks: Sequence[Ack]) -> History:
        """All observations but the acknowledgements."""
        return History(
            acks=acks,
            logged=[event async for page in self.store.log.read_all() for event in page],
            topic=await self.records(),
            table=await self.table(),
        )

    async def table(self, name: str = "ledger") -> dict[str, tuple[Sequence[int], Sequence[int]]]:
        """Values and versions of every stream in the ledger of that name."""
        rows = await self.pool.fetch(f"SELECT stream, seen, versions FROM {name}")
        return {row["stream"]: (row["seen"], row["versions"]) for row in rows}

    async def rows(self) -> dict[str, list[int]]:
        return await rows_of_ledger(self.pool)


async def append_with_retries(
    store: EventStore[Any], stream: str, events: Sequence[Any], command: UUID
) -> Appended:
    """Append like a client: retry with the same ids while the database is away."""
    while True:
        try:
            return await store.append(
                stream, events, expected=ANY, metadata=METADATA, command_id=command
            )
        except LogUnavailable:
            await asyncio.sleep(0.02)


async def rows_of_ledger(pool: asyncpg.Pool, schema: str = "public") -> dict[str, list[int]]:
    """The events in the ledger by stream."""
    rows = await pool.fetch(f"SELECT stream, seen FROM {schema}.ledger ORDER BY stream")
    return {row["stream"]: row["seen"] for row in rows}


async def publish(
    publisher: Publisher,
    events: Sequence[RecordedEvent],
    first_seq: int,
    heads: Mapping[tuple[str, int], int],
) -> dict[tuple[str, int], int]:
    """Prepare and send rows. Returns the last numbers of their partitions."""
    rows = [text_row(event) for event in events]
    batch = await publisher.prepare(rows, first_seq, heads, LogIdentity("lab", "first"))
    await publisher.send(batch)
    return batch.heads


@asynccontextmanager
async def open_admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    """Run components while the block runs, then stop them gracefully."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)


def order(number: int) -> str:
    """The name of a stream by number."""
    return f"order-{UUID(int=number)}"


def expected(count: int) -> dict[str, list[int]]:
    """The ledger after `append_numbers(range(count))`."""
    return {order(n): list(range(n, count, STREAMS)) for n in range(min(count, STREAMS))}
