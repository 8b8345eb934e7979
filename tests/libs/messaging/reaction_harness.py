"""A reaction under test that records its calls and can be made to fail."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid5

import asyncpg
from aiokafka import AIOKafkaProducer
from msgspec import structs

from libs.eventsourcing.log import NO_STREAM
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, envelope
from libs.messaging import inbox
from libs.messaging.batch_consumer import ConsumerConfig
from libs.messaging.reaction import Reaction, Schedule, feed_of
from libs.messaging.reactor import Reactor
from libs.messaging.wire import Record
from libs.testing.clock import NOON
from libs.testing.polling import eventually
from libs.testing.tables import REACTION_TABLES
from tests.libs.messaging.lab import CODEC, METADATA, WRITER_CODEC, Lab, Ledger, Numbered, order
from tests.libs.messaging.wires import recorded

SHIFT = """UPDATE inbox SET due_at = due_at - $1::interval, retry_at = retry_at - $1::interval,
    claimed_until = claimed_until - $1::interval, done_at = done_at - $1::interval"""


@dataclass
class ReactionHarness:
    """The reaction appends a fact to a new stream, under a command id derived from the event.

    All events have one ordering key.
    """

    lab: Lab
    due: Callable[[int], datetime] = lambda _: NOON
    fails: dict[int, list[Exception]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    together: int = 0
    most_together: int = 0

    def schedule_of(self, event: Any) -> Schedule | None:
        return Schedule("all", self.due(event.n)) if isinstance(event, Numbered) else None

    async def react(self, arrived: Any) -> None:
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        try:
            await asyncio.sleep(0)
            self.tried.append(arrived.event.n)
            if errors := self.fails.get(arrived.event.n):
                raise errors.pop(0)
            command = uuid5(arrived.event_id, "deed")
            await self.lab.store.append(
                f"deed-{command}",
                [Numbered(arrived.event.n)],
                expected=NO_STREAM,
                metadata=METADATA,
                command_id=command,
            )
        finally:
            self.together -= 1

    async def done(self) -> list[int]:
        """The numbers of the handled events, in order."""
        rows = await self.lab.pool.fetch(
            "SELECT (data->>'n')::int AS n FROM events WHERE stream LIKE 'deed-%' ORDER BY position"
        )
        return [row["n"] for row in rows]

    async def all_done(self, numbers: Sequence[int]) -> None:
        """Wait until exactly these events are handled, in any order."""

        async def done() -> list[int]:
            return sorted(await self.done())

        await eventually(done, sorted(numbers))

    def reaction(self, **different: Any) -> Reaction[Any]:
        given: Reaction[Any] = Reaction(
            name="deeds",
            topics=("lab.order",),
            codec=CODEC,
            schedule_of=self.schedule_of,
            react=self.react,
        )
        return replace(given, **different)

    def reactor(self, *, own: bool = False, **different: Any) -> Reactor[Any]:
        lab = self.lab
        config = ConsumerConfig(bootstrap=lab.bootstrap, prefix=lab.prefix, group=lab.group)
        return Reactor(lab.pool, self.reaction(**different), None if own else config)

    async def arrive(self, *numbers: int) -> None:
        """Store events in the inbox through the feed of the service's own log."""
        envelopes = [
            envelope(
                structs.replace(recorded(n, order(n)), occurred_at=NOON + timedelta(seconds=n)),
                Numbered(n),
            )
            for n in numbers
        ]
        async with self.lab.pool.acquire() as connection, connection.transaction():
            await feed_of(self.reaction()).project(connection, envelopes)

    async def send(self, *records: Record) -> None:
        """Write records to their partitions of the topic, as a relay does."""
        producer = AIOKafkaProducer(bootstrap_servers=self.lab.bootstrap)
        await producer.start()
        try:
            for one in records:
                await producer.send_and_wait(
                    self.lab.topic,
                    one.value,
                    key=one.key,
                    partition=one.partition,
                    headers=list(one.headers),
                )
        finally:
            await producer.stop()

    async def advance(self, **duration: float) -> None:
        """Shift all times in the inbox, because the database's clock cannot be set."""
        await self.lab.pool.execute(SHIFT, timedelta(**duration))

    async def waiting(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `inbox list`, for any waiting time."""
        return await inbox.list_waiting(self.lab.pool, longer_than=timedelta())


async def open_harness(lab: Lab) -> ReactionHarness:
    """A new harness, and its tables."""
    await lab.pool.execute(";".join(REACTION_TABLES))
    return ReactionHarness(lab)


async def open_harness_without_broker(pool: asyncpg.Pool) -> ReactionHarness:
    """A new harness without Kafka."""
    store = EventStore(PostgresLog(pool), WRITER_CODEC)
    nowhere = "127.0.0.1:1"
    lab = Lab(pool=pool, bootstrap=nowhere, prefix="none", store=store, ledger=Ledger())
    return await open_harness(lab)


async def handle_due(reactor: Reactor[Any]) -> None:
    """Handle messages until none is due."""
    while await reactor.worker.react():
        pass


async def handle_repeatedly(harness: ReactionHarness, reactor: Reactor[Any], times: int) -> None:
    """Handle due messages several times, each ten minutes later, longer than any back-off."""
    for _ in range(times):
        await handle_due(reactor)
        await harness.advance(minutes=10)


async def rows_of(pool: asyncpg.Pool, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(query)]
