"""A reaction's subscription to topics of other services: joins, reads, stores, and never skips.

A record that must exist and does not come stops its partition, loudly, and only that one; a person
moves it on with `inbox skip-gap`. Everything else is retried for ever.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Generic, TypeVar

import asyncpg
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from libs.messaging import positions
from libs.messaging.batch_consumer import REVOKE_SECONDS, BatchConsumer, ConsumerConfig
from libs.messaging.dedup import Gap
from libs.messaging.inbox_feed import InboxFeed, Stored
from libs.messaging.reaction import Reaction
from libs.messaging.start_position import ensure_start
from libs.messaging.topics import topic_name
from libs.messaging.trouble import Trouble
from libs.process.concurrency import reraise_cancellation, wait

Event = TypeVar("Event")

FIRST_BACKOFF: Final = 0.2
LAST_BACKOFF: Final = 5.0
CHECK_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 5.0
"""How long a broker may leave fetches unanswered, which it answers at once if only with nothing."""
READ_AGAIN_SECONDS: Final = 60.0
"""How often a partition is read again that stopped at a gap: the records may be back."""

LAG: Final = Gauge(
    "tillstream_reaction_lag_records",
    "Records on Kafka not yet in the inbox",
    ["reaction"],
    multiprocess_mode="max",
)
GAPS: Final = Gauge(
    "tillstream_reaction_gaps",
    "Partitions that stopped at a gap",
    ["reaction"],
    multiprocess_mode="max",
)
STORED: Final = Counter("tillstream_inbox_messages", "Messages stored", ["reaction"])
REPEATED: Final = Counter("tillstream_inbox_repeated", "Records seen before", ["reaction"])

log = structlog.get_logger("subscription")


class Died(Exception):
    """The consumer has ceased to work; a new one takes its place."""


KAFKA_ERRORS: Final = (KafkaError, OSError, TimeoutError, Died)


@dataclass(slots=True)
class Progress:
    """The state of a subscription. A member of the group may have no partitions.

    `broker` is trouble that ends when Kafka is back.
    """

    joined: bool = False
    lag: int = 0
    partitions: set[TopicPartition] = field(default_factory=set)
    gaps: dict[TopicPartition, Gap] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    broker: Trouble = field(default_factory=Trouble)
    moved_at: float = field(default_factory=monotonic)


class ForeignSubscription(Generic[Event]):
    """Keeps the inbox of one reaction filled. `on_stored` is called when messages have come.

    Any number may run at once, in any number of processes; each partition is read by one.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        reaction: Reaction[Event],
        config: ConsumerConfig,
        *,
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = pool
        self._reaction = reaction
        self._config = config
        self._on_stored = on_stored
        self._topics = [topic_name(config.prefix, one) for one in reaction.topics]
        self.progress = Progress()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set; survives database and broker going away."""
        pause, name = FIRST_BACKOFF, self._reaction.name
        while not stop.is_set():
            began = monotonic()
            try:
                await ensure_start(self._pool, name, self._topics, self._config.bootstrap)
                await self._consume(stop)
            except Exception as error:  # noqa: BLE001 -- the stored position is right after any error
                reraise_cancellation(error)
                if monotonic() - began > 2 * LAST_BACKOFF:
                    pause = FIRST_BACKOFF
                self._note(error)
                log.warning(
                    "subscription interrupted", reaction=name, error=repr(error), retry_in=pause
                )
                await wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)

    def _note(self, error: Exception) -> None:
        broker, other = self.progress.broker, self.progress.trouble
        here, there = (broker, other) if isinstance(error, KAFKA_ERRORS) else (other, broker)
        here.note("consumer", error)
        there.clear("consumer")

    async def _consume(self, stop: asyncio.Event) -> None:
        session = _Session(
            self._pool, self._reaction, self._config, self._topics, self.progress, self._on_stored
        )
        try:
            await session.start(stop)
            while not await wait(stop, CHECK_SECONDS):
                await session.check()
        finally:
            await session.stop()


class _Session(Generic[Event]):
    """One life of a consumer."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        reaction: Reaction[Event],
        config: ConsumerConfig,
        topics: list[str],
        progress: Progress,
        on_stored: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._name = reaction.name
        self._feed = InboxFeed(pool, reaction)
        self._progress = progress
        self._on_stored = on_stored
        self._busy = asyncio.Lock()
        self._ending = asyncio.Event()
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._suspects: dict[TopicPartition, Gap] = {}
        self._searched: dict[TopicPartition, Gap] = {}
        self._stopped: set[TopicPartition] = set()
        self._fetched: set[tuple[TopicPartition, int | None]] = set()
        self._fetched_at = monotonic()
        self._read_again_at = monotonic() + READ_AGAIN_SECONDS
        # The group has the name it had when projectors read for reactions.
        self._consumer = BatchConsumer(config, f"inbox-{reaction.name}", topics, self)

    async def start(self, stop: asyncio.Event) -> None:
        """Join; see `BatchConsumer.start`."""
        await self._consumer.start(stop)

    async def stop(self) -> None:
        """Finish the batch in progress, within limits, and leave."""
        self._ending.set()
        self._progress.joined = False
        try:
            await self._wait_idle()
            await self._consumer.commit_offsets(self._next)
        finally:
            self._progress.partitions.clear()
            self._progress.gaps.clear()
            await self._consumer.stop()

    async def check(self) -> None:
        """Measure, and see whether gaps were skipped. Raises Died."""
        if self._consumer.dead:
            raise Died("the consumer has ceased to work")
        if self._stopped:
            await self._retry_gaps()
        self._measure()
        self._listen()
        if self._next != self._committed:
            self._committed = dict(self._next)
            await self._consumer.commit_offsets(self._committed)

    async def handle(self, records: tuple[ConsumerRecord, ...]) -> None:
        """Store one batch, however long it takes; nothing is raised."""
        async with self._busy:
            pause = FIRST_BACKOFF
            while not self._ending.is_set():
                try:
                    await self._store(records)
                except Exception as error:  # noqa: BLE001 -- no error may skip a record
                    self._progress.trouble.note("storing", error)
                    log.warning(
                        "batch waits", reaction=self._name, error=repr(error), retry_in=pause
                    )
                    await wait(self._ending, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                else:
                    self._progress.trouble.clear("storing")
                    return

    def failed(self, error: KafkaError | None) -> None:
        """A poll of the consumer failed, or succeeded."""
        if error is None:
            self._progress.broker.clear("poll")
        else:
            self._progress.broker.note("poll", error)

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Let the batch in progress finish before the partitions go, within limits."""
        await self._wait_idle()
        self._progress.partitions -= partitions
        self._forget(partitions)
        for at in partitions:
            self._progress.gaps.pop(at, None)

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Go to the stored positions. Nothing may be awaited before the pause: fetching is on."""
        self._consumer.pause(*partitions)
        try:
            await self._seek(partitions)
        except Exception as error:  # noqa: BLE001 -- records are compared with positions: only slow
            log.warning("assigned without positions", reaction=self._name, error=repr(error))
        finally:
            if not self._ending.is_set():
                self._progress.partitions |= partitions
                self._progress.joined = True
                self._progress.moved_at = monotonic()
                self._progress.trouble.clear("consumer")
                self._progress.broker.clear("consumer")
            self._consumer.resume(*partitions)

    async def _store(self, records: Iterable[ConsumerRecord]) -> None:
        going = [record for record in records if _partition(record) not in self._stopped]
        if not going:
            return
        stored = await self._feed.store(going)
        self._note(stored)
        for at, gap in stored.gaps.items():
            await self._doubt(TopicPartition(*at), gap)

    def _note(self, stored: Stored) -> None:
        self._next.update({TopicPartition(*at): n for at, n in stored.next_offsets.items()})
        self._progress.moved_at = monotonic()
        for at in stored.next_offsets.keys() - stored.gaps.keys():
            self._progress.gaps.pop(TopicPartition(*at), None)
        STORED.labels(self._name).inc(stored.messages)
        REPEATED.labels(self._name).inc(stored.repeated)
        if stored.messages:
            self._on_stored()

    async def _doubt(self, at: TopicPartition, gap: Gap) -> None:
        """Read again from where something is missing; stop there if it still is."""
        if self._suspects.get(at) != gap:
            self._suspects[at] = gap
            self._consumer.seek(at, self._search_from(at, gap))
            return
        self._consumer.pause(at)
        self._progress.gaps[at] = gap
        log.error("subscription stopped at a gap", reaction=self._name, at=at, gap=gap.message)
        async with self._pool.acquire() as connection:
            await positions.stop(connection, self._name, at, gap)
        self._stopped.add(at)

    def _search_from(self, at: TopicPartition, gap: Gap) -> int:
        """Where what is missing may be: a topic that lost its end goes on at offsets that were read
        before, so all of the partition is read again, once for each gap."""
        known = self._searched.get(at) == gap or gap.last is None or gap.kind == "incarnation"
        self._searched[at] = gap
        return gap.next_offset if known else 0

    async def _retry_gaps(self) -> None:
        """Go on where a gap was skipped, and now and then see whether it has closed by itself."""
        try:
            async with self._pool.acquire() as connection:
                still = await positions.stopped(connection, self._name)
        except Exception as error:  # noqa: BLE001 -- the next check asks again
            log.warning("cannot see gaps", reaction=self._name, error=repr(error))
            return
        read_again = monotonic() >= self._read_again_at
        if read_again:
            self._read_again_at = monotonic() + READ_AGAIN_SECONDS
        going = {at for at in self._stopped if read_again or tuple(at) not in still}
        if going:
            async with self._busy:
                await self._seek(going)
            self._consumer.resume(*going)

    def _measure(self) -> None:
        ends = {at: self._consumer.end_offset(at) or 0 for at in self._progress.partitions}
        behind = {at: max(end - self._next.get(at, 0), 0) for at, end in ends.items()}
        self._progress.lag = sum(behind.values())
        LAG.labels(self._name).set(self._progress.lag)
        GAPS.labels(self._name).set(len(self._progress.gaps))
        moving = sum(n for at, n in behind.items() if at not in self._stopped)
        if not moving:
            self._progress.moved_at = monotonic()
        still = monotonic() - self._progress.moved_at
        if still > STUCK_SECONDS and not self._busy.locked():
            raise Died(f"nothing moved for {still:.0f} s with {moving} records waiting")

    def _listen(self) -> None:
        """Note a broker that does not answer: aiokafka itself waits for it without an error."""
        going = self._progress.partitions - self._stopped
        fetched = {(at, self._consumer.fetched_at(at)) for at in going}
        if fetched != self._fetched or not going or self._busy.locked():
            self._fetched, self._fetched_at = fetched, monotonic()
            self._progress.broker.clear("silent")
        elif monotonic() - self._fetched_at > SILENT_SECONDS:
            self._progress.broker.note("silent", "Kafka does not answer")

    async def _seek(self, partitions: set[TopicPartition]) -> None:
        """Seek to the stored positions of these partitions, and forget what was assumed of them."""
        async with self._pool.acquire() as connection:
            known = await positions.read(connection, self._name)
        self._forget(partitions)
        for at in partitions:
            self._next[at] = known[at].next_offset if at in known else 0
            self._consumer.seek(at, self._next[at])

    def _forget(self, partitions: set[TopicPartition]) -> None:
        for at in partitions:
            self._suspects.pop(at, None)
            self._next.pop(at, None)
        self._stopped -= partitions

    async def _wait_idle(self) -> None:
        try:
            async with asyncio.timeout(REVOKE_SECONDS), self._busy:
                pass
        except TimeoutError:
            log.warning("a batch goes on", reaction=self._name)


def _partition(record: ConsumerRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
