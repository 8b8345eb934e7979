"""Building a read model anew beside the live one: from the log, then from Kafka, then compare.

The cut between log and Kafka is exact: the topics' ends are noted first, then a moment of the log
is taken and replayed, and from the noted ends on a record is skipped if that moment sees its
transaction. No step holds a long transaction or stops the live projector for more than the last
few records.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.snapshot import Snapshot
from libs.messaging import checkpoints, editions, parking
from libs.messaging.apply import Item, apply, make_ready, project_ready
from libs.messaging.diff import TableDiff, compare
from libs.messaging.editions import Schemas
from libs.messaging.parking import Letter, StoredRecord
from libs.messaging.projection import Projection
from libs.messaging.publisher import Lane
from libs.messaging.tail import Difference
from libs.messaging.topics import MAX_MESSAGE_BYTES, category_of, topic_name
from libs.messaging.wire import Delivered, encode_headers

Event = TypeVar("Event")

Tell: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0 if unknown)."""

PAGE: Final = 1000
TRIES: Final = 50


class RebuildFailed(Exception):
    """The rebuild cannot go on; the live read model is untouched."""


class Rebuild(Generic[Event]):
    """One rebuild of `projection`. The pool must be the owner's: it creates and moves tables."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        projection: Projection[Event],
        schemas: Schemas,
        *,
        service: str,
        bootstrap: str,
        prefix: str,
        tell: Tell = lambda *_: None,
    ) -> None:
        self._pool = pool
        self._log = PostgresLog(pool)
        self._projection = projection
        self._schemas = schemas
        self._service = service
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._tell = tell

    async def build(self) -> list[TableDiff]:
        """Build the next edition and compare it with the live one, both at the same place."""
        async with self._reader() as consumer:
            ends = await self._ends(consumer)
            base = await self._log.now()
            await self._prepare(base, ends)
            await self._replay(base)
            await self._until_live_has(base)
            await self._catch_up(consumer, await self._live_place())
            return await self._compare(consumer)

    async def switch(self) -> None:
        """Make the next edition live. Readers meet one or the other, never neither."""
        async with self._reader() as consumer:
            for _ in range(TRIES):
                await self._catch_up(consumer, await self._live_place())
                try:
                    async with self._holding_live(consumer) as connection:
                        await editions.switch(connection, self._projection, self._schemas)
                except asyncpg.LockNotAvailableError:
                    continue
                return
        raise RebuildFailed("the tables are always in use; try again when it is quieter")

    async def roll_back(self) -> None:
        """Make the previous edition live again; the live projector catches it up."""
        for _ in range(TRIES):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await editions.roll_back(connection, self._projection, self._schemas)
            except asyncpg.LockNotAvailableError:
                continue
            return
        raise RebuildFailed("the tables are always in use; try again when it is quieter")

    async def _prepare(self, base: Snapshot, ends: Mapping[Lane, int]) -> None:
        name = self._projection.name
        async with self._pool.acquire() as connection, connection.transaction():
            await checkpoints.lock(connection, name, ends)
            await editions.prepare(connection, self._projection, self._schemas)
            await connection.execute(
                "UPDATE generations SET base = $2::text::pg_snapshot"
                " WHERE projection = $1 AND state = 'next'",
                name,
                str(base),
            )
            places = await checkpoints.lock(connection, name, ends, state="next")
            await connection.executemany(
                "UPDATE checkpoints SET next_offset = $5 WHERE projection = $1"
                " AND generation = $2 AND topic = $3 AND partition = $4",
                [(name, places[lane].generation, *lane, end) for lane, end in ends.items()],
            )

    async def _replay(self, base: Snapshot) -> None:
        total = await self._pool.fetchval("SELECT count(*) FROM events")
        done = 0
        async for page in self._log.read_all(as_of=base, page=PAGE):
            await self._project(page)
            done += len(page)
            self._tell("replaying the log", done, total)

    async def _project(self, page: Sequence[RecordedEvent]) -> None:
        """One page of the log, in a transaction of its own."""
        edition = self._schemas.next_edition
        ready: list[Item[Event] | Letter] = [
            make_ready(self._projection, record_of(self._service, event), Delivered(event, 0, 0))
            for event in page
            if category_of(self._service, event.stream) in self._projection.topics
        ]
        if not ready:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await edition.enter(connection)
            _, letters = await project_ready(connection, self._projection, ready, edition)
            await parking.park(connection, edition.parking(self._projection.name), letters)

    async def _until_live_has(self, base: Snapshot) -> None:
        """Wait until relay and live projector have passed the moment that was replayed."""
        self._tell("waiting for the live read model", 0, 0)
        while await self._unpublished(base):
            await asyncio.sleep(0.05)
        heads = await self._pool.fetch(
            "SELECT topic, partition, last_seq FROM relay_heads WHERE topic = ANY($1)",
            self._topics,
        )
        wanted = {(row["topic"], row["partition"]): row["last_seq"] for row in heads}
        while any(
            (self._seq(places, lane) or 0) < seq
            for places in [await checkpoints.read(self._pool, self._projection.name)]
            for lane, seq in wanted.items()
        ):
            await asyncio.sleep(0.05)

    @staticmethod
    def _seq(places: Mapping[Lane, checkpoints.Checkpoint], lane: Lane) -> int | None:
        return places[lane].relay_seq if lane in places else None

    async def _unpublished(self, base: Snapshot) -> int:
        published = Snapshot.parse(
            await self._pool.fetchval(
                "SELECT (CASE WHEN complete AND confirmed THEN target ELSE published END)::text"
                " FROM relay"
            )
        )
        async with self._pool.acquire() as connection:
            return (await Difference(published, base).backlog(connection))[0]

    async def _catch_up(self, consumer: AIOKafkaConsumer, until: Mapping[Lane, int]) -> None:
        """Apply records to the next edition up to `until`, not one further."""
        edition = self._schemas.next_edition
        while True:
            places = await checkpoints.read(self._pool, self._projection.name, state="next")
            if not places:
                raise editions.NoSuchEdition(f"{self._projection.name} has no next edition")
            behind = {
                lane: place.next_offset
                for lane, place in places.items()
                if place.next_offset < until.get(lane, 0)
            }
            if not behind:
                return
            for lane, offset in behind.items():
                if await consumer.position(TopicPartition(*lane)) != offset:
                    consumer.seek(TopicPartition(*lane), offset)
            polled = await consumer.getmany(timeout_ms=200, max_records=PAGE)
            records = [r for batch in polled.values() for r in batch if _before(r, until)]
            applied = await apply(self._pool, self._projection, records, edition)
            for gap in applied.gaps.values():
                raise RebuildFailed(gap)

    async def _compare(self, consumer: AIOKafkaConsumer) -> list[TableDiff]:
        """Hold the live projector until both are level, then compare on a snapshot of that."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            async with self._holding_live(consumer):
                # The snapshot is taken by the first query, while nothing moves.
                await connection.fetchval("SELECT 1")
            self._tell("comparing", 0, 0)
            return await compare(connection, self._projection, self._schemas)

    @asynccontextmanager
    async def _holding_live(self, consumer: AIOKafkaConsumer) -> Any:
        """A transaction in which the live projector waits and the next edition is level with it."""
        async with self._pool.acquire() as connection, connection.transaction():
            await editions.lock_live(connection, self._projection)
            await self._catch_up(consumer, await self._live_place())
            yield connection

    async def _live_place(self) -> dict[Lane, int]:
        places = await checkpoints.read(self._pool, self._projection.name)
        return {lane: place.next_offset for lane, place in places.items()}

    @property
    def _topics(self) -> list[str]:
        return [topic_name(self._prefix, category) for category in self._projection.topics]

    @asynccontextmanager
    async def _reader(self) -> Any:
        """A consumer without a group, on all lanes, to be positioned by hand."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
        )
        await consumer.start()
        try:
            lanes = [
                TopicPartition(topic, partition)
                for topic in self._topics
                for partition in sorted(await self._partitions(consumer, topic))
            ]
            consumer.assign(lanes)
            for tp, end in (await consumer.end_offsets(lanes)).items():
                consumer.seek(tp, end)
            yield consumer
        finally:
            await consumer.stop()

    async def _partitions(self, consumer: AIOKafkaConsumer, topic: str) -> set[int]:
        await consumer.topics()
        partitions: set[int] | None = consumer.partitions_for_topic(topic)
        if not partitions:
            raise RebuildFailed(f"there is no topic {topic}")
        return partitions

    async def _ends(self, consumer: AIOKafkaConsumer) -> dict[Lane, int]:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        return {(tp.topic, tp.partition): end for tp, end in ends.items()}


def record_of(service: str, event: RecordedEvent) -> StoredRecord:
    """An event of the log in the form of a record, for parking: it has no place in a topic yet."""
    return StoredRecord(
        topic="log",
        partition=0,
        offset=event.position,
        key=event.stream.encode(),
        value=event.data,
        headers=encode_headers(service, event, 0, 0),
    )


def _before(record: ConsumerRecord, until: Mapping[Lane, int]) -> bool:
    return bool(record.offset < until.get((record.topic, record.partition), 0))
