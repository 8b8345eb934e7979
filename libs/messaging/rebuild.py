"""Building a read model anew beside the live one: from the log, then from Kafka, then compare.

The cut between log and Kafka is exact: the topics' ends are noted first, then a moment of the log
is taken and replayed, and from the noted ends on a record is skipped if that moment sees its
transaction. No step holds a long transaction or stops the live projector for more than the last
few records.

Longer than most: a rebuild is told from its first row to its switch.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.snapshot import Snapshot
from libs.messaging import checkpoints, editions, parking
from libs.messaging.apply import Item, apply, make_ready, project_ready
from libs.messaging.categories import category_of, spelled
from libs.messaging.diff import TableDiff, compare
from libs.messaging.editions import Schemas
from libs.messaging.parking import Letter, record_of
from libs.messaging.publisher import Lane
from libs.messaging.reader import ends_of, is_dead, open_reader
from libs.messaging.tail import Difference
from libs.messaging.topics import topic_name
from libs.messaging.wire import Delivered
from libs.projections.projection import Projection

Event = TypeVar("Event")

Tell: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0 if unknown)."""

PAGE: Final = 1000
TRIES: Final = 50
PATIENCE: Final = 10.0
"""How many seconds the live read model may stand still before it is no longer waited for."""


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
        patience: float = PATIENCE,
    ) -> None:
        self._pool = pool
        self._log = PostgresLog(pool)
        self._projection = projection
        self._schemas = schemas
        self._service = spelled(service)
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._tell = tell
        self._patience = patience

    async def build(self) -> list[TableDiff]:
        """Build the next edition and compare it with the live one, both at the same place.

        A live edition that stands still, because the topics no longer hold what it needs, is
        compared where it stands: `tell` says so, and the difference is what it lacks.
        """
        async with open_reader(self._bootstrap, self._topics) as consumer:
            ends = await ends_of(consumer)
            base = await self._log.now()
            await self._prepare(base, ends)
            await self._replay(base)
            await self._until_live_has(base)
            await self._catch_up(consumer, await self._live_place())
            return await self._compare(consumer)

    async def switch(self) -> None:
        """Make the next edition live. Readers meet one or the other, never neither."""
        async with open_reader(self._bootstrap, self._topics) as consumer:
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
        """Wait until the live edition has passed the moment that was replayed, while it moves."""
        self._tell("waiting for the live read model", 0, 0)
        before, moved_at = await self._live_behind(base), monotonic()
        while before and monotonic() - moved_at < self._patience:
            await asyncio.sleep(0.05)
            behind = await self._live_behind(base)
            if behind != before:
                before, moved_at = behind, monotonic()
        if before:
            self._tell("the live read model stands still; going on without it", 0, 0)

    async def _live_behind(self, base: Snapshot) -> object:
        """What relay or live projector still have to do to pass `base`; falsy if nothing."""
        if unpublished := await self._unpublished(base):
            return unpublished
        heads = await self._pool.fetch(
            "SELECT topic, partition, last_seq FROM relay_heads WHERE topic = ANY($1)",
            self._topics,
        )
        places = await checkpoints.read(self._pool, self._projection.name)
        numbers = {lane: place.relay_seq or 0 for lane, place in places.items()}
        behind = any(numbers.get((head[0], head[1]), 0) < head[2] for head in heads)
        return sorted(numbers.items()) if behind else None

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
            records = [record for record in await _polled(consumer) if _before(record, until)]
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


async def _polled(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
    try:
        polled = await consumer.getmany(timeout_ms=200, max_records=PAGE)
    except OffsetOutOfRangeError as error:
        raise RebuildFailed(f"the topic lost what was to be read: {error}") from error
    if is_dead(consumer):
        raise RebuildFailed("the connection to Kafka broke; run the same again")
    return [record for batch in polled.values() for record in batch]


def _before(record: ConsumerRecord, until: Mapping[Lane, int]) -> bool:
    return bool(record.offset < until.get((record.topic, record.partition), 0))
