"""A reaction's subscription to topics of other services: reads, stores, and never skips a record.

A missing record stops its partition, and only that one, with an error in log and readiness; a
person skips it with `inbox skip-gap`. Everything else is retried for ever.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
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
from libs.messaging.reader import ConsumerDied, open_reader
from libs.messaging.topics import topic_name
from libs.messaging.trouble import Trouble
from libs.process.concurrency import reraise_cancellation, wait

Event = TypeVar("Event")

FIRST_BACKOFF: Final = 0.2
LAST_BACKOFF: Final = 5.0
CHECK_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 5.0
"""How long a broker may leave a fetch unanswered. A broker that works answers at once."""
READ_AGAIN_SECONDS: Final = 60.0
"""How often a partition that stopped at a gap is read again, in case the records are back."""

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


KAFKA_ERRORS: Final = (KafkaError, OSError, TimeoutError, ConsumerDied)


@dataclass(slots=True)
class SubscriptionState:
    """The state of a subscription. A member of the group may have no partitions.

    `broker` holds errors that end when Kafka is back, `trouble` all others.
    """

    joined: bool = False
    lag: int = 0
    partitions: set[TopicPartition] = field(default_factory=set)
    gaps: dict[TopicPartition, Gap] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    broker: Trouble = field(default_factory=Trouble)
    moved_at: float = field(default_factory=monotonic)


class ForeignSubscription(Generic[Event]):
    """Fills the inbox of one reaction. `on_stored` is called after new messages are stored.

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
        self.state = SubscriptionState()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set; survives outages of database and broker."""
        pause, name = FIRST_BACKOFF, self._reaction.name
        while not stop.is_set():
            started_at = monotonic()
            try:
                await _ensure_positions(self._pool, name, self._topics, self._config.bootstrap)
                await self._consume(stop)
            except Exception as error:  # noqa: BLE001 -- the stored position is right after any error
                reraise_cancellation(error)
                if monotonic() - started_at > 2 * LAST_BACKOFF:
                    pause = FIRST_BACKOFF
                self._note(error)
                log.warning(
                    "subscription interrupted", reaction=name, error=repr(error), retry_in=pause
                )
                await wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)

    def _note(self, error: Exception) -> None:
        broker, other = self.state.broker, self.state.trouble
        noted, cleared = (broker, other) if isinstance(error, KAFKA_ERRORS) else (other, broker)
        noted.note("consumer", error)
        cleared.clear("consumer")

    async def _consume(self, stop: asyncio.Event) -> None:
        session = _ConsumerSession(
            self._pool, self._reaction, self._config, self._topics, self.state, self._on_stored
        )
        try:
            await session.start(stop)
            while not await wait(stop, CHECK_SECONDS):
                await session.check()
        finally:
            await session.stop()


class _ConsumerSession(Generic[Event]):
    """One consumer, from joining its group to leaving it."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        reaction: Reaction[Event],
        config: ConsumerConfig,
        topics: list[str],
        state: SubscriptionState,
        on_stored: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._name = reaction.name
        self._feed = InboxFeed(pool, reaction)
        self._state = state
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
        # The name of the group comes from a release in which projectors fed the inbox.
        self._consumer = BatchConsumer(config, f"inbox-{reaction.name}", topics, self)

    async def start(self, stop: asyncio.Event) -> None:
        """Join the group; see `BatchConsumer.start`."""
        await self._consumer.start(stop)

    async def stop(self) -> None:
        """Finish the batch in progress, within `REVOKE_SECONDS`, and leave the group."""
        self._ending.set()
        self._state.joined = False
        try:
            await self._wait_idle()
            await self._consumer.commit_offsets(self._next)
        finally:
            self._state.partitions.clear()
            self._state.gaps.clear()
            await self._consumer.stop()

    async def check(self) -> None:
        """Update the metrics, and go on where gaps were skipped. Raises ConsumerDied."""
        if self._consumer.dead:
            raise ConsumerDied("the consumer has stopped working")
        if self._stopped:
            await self._retry_gaps()
        self._measure()
        self._check_broker()
        if self._next != self._committed:
            self._committed = dict(self._next)
            await self._consumer.commit_offsets(self._committed)

    async def handle(self, records: tuple[ConsumerRecord, ...]) -> None:
        """Store one batch, however long it takes. Raises nothing."""
        async with self._busy:
            pause = FIRST_BACKOFF
            while not self._ending.is_set():
                try:
                    await self._store(records)
                except Exception as error:  # noqa: BLE001 -- no error may skip a record
                    self._state.trouble.note("storing", error)
                    log.warning(
                        "storing a batch failed",
                        reaction=self._name,
                        error=repr(error),
                        retry_in=pause,
                    )
                    await wait(self._ending, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                else:
                    self._state.trouble.clear("storing")
                    return

    def failed(self, error: KafkaError | None) -> None:
        """Note the result of a poll: its error, or None if it succeeded."""
        if error is None:
            self._state.broker.clear("poll")
        else:
            self._state.broker.note("poll", error)

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Finish the batch in progress, within `REVOKE_SECONDS`, before the partitions go."""
        await self._wait_idle()
        self._state.partitions -= partitions
        self._forget(partitions)
        for at in partitions:
            self._state.gaps.pop(at, None)

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Seek to the stored positions. Fetching is on, so pause before anything is awaited."""
        self._consumer.pause(*partitions)
        try:
            await self._seek(partitions)
        except Exception as error:  # noqa: BLE001 -- deduplication still works, only slowly
            log.warning("assigned without positions", reaction=self._name, error=repr(error))
        finally:
            if not self._ending.is_set():
                self._state.partitions |= partitions
                self._state.joined = True
                self._state.moved_at = monotonic()
                self._state.trouble.clear("consumer")
                self._state.broker.clear("consumer")
            self._consumer.resume(*partitions)

    async def _store(self, records: Iterable[ConsumerRecord]) -> None:
        readable = [record for record in records if _partition(record) not in self._stopped]
        if not readable:
            return
        stored = await self._feed.store(readable)
        self._note(stored)
        for at, gap in stored.gaps.items():
            await self._verify_gap(TopicPartition(*at), gap)

    def _note(self, stored: Stored) -> None:
        self._next.update({TopicPartition(*at): n for at, n in stored.next_offsets.items()})
        self._state.moved_at = monotonic()
        for at in stored.next_offsets.keys() - stored.gaps.keys():
            self._state.gaps.pop(TopicPartition(*at), None)
        STORED.labels(self._name).inc(stored.messages)
        REPEATED.labels(self._name).inc(stored.repeated)
        if stored.messages:
            self._on_stored()

    async def _verify_gap(self, at: TopicPartition, gap: Gap) -> None:
        """Read again from the gap; stop the partition if the records are still missing."""
        if self._suspects.get(at) != gap:
            self._suspects[at] = gap
            self._consumer.seek(at, self._search_from(at, gap))
            return
        self._consumer.pause(at)
        self._state.gaps[at] = gap
        log.error("subscription stopped at a gap", reaction=self._name, at=at, gap=gap.message)
        async with self._pool.acquire() as connection:
            await positions.stop(connection, self._name, at, gap)
        self._stopped.add(at)

    def _search_from(self, at: TopicPartition, gap: Gap) -> int:
        """The offset at which to search for the missing records.

        A topic that lost its end continues at offsets that were read before, so the whole partition
        is read again, once per gap.
        """
        known = self._searched.get(at) == gap or gap.last is None or gap.kind == "incarnation"
        self._searched[at] = gap
        return gap.next_offset if known else 0

    async def _retry_gaps(self) -> None:
        """Go on where a gap was skipped; every `READ_AGAIN_SECONDS` try all stopped partitions."""
        try:
            async with self._pool.acquire() as connection:
                stopped = await positions.stopped(connection, self._name)
        except Exception as error:  # noqa: BLE001 -- the next check tries again
            log.warning("reading gaps failed", reaction=self._name, error=repr(error))
            return
        read_again = monotonic() >= self._read_again_at
        if read_again:
            self._read_again_at = monotonic() + READ_AGAIN_SECONDS
        resumed = {at for at in self._stopped if read_again or tuple(at) not in stopped}
        if resumed:
            async with self._busy:
                await self._seek(resumed)
            self._consumer.resume(*resumed)

    def _measure(self) -> None:
        ends = {at: self._consumer.end_offset(at) or 0 for at in self._state.partitions}
        lags = {at: max(end - self._next.get(at, 0), 0) for at, end in ends.items()}
        self._state.lag = sum(lags.values())
        LAG.labels(self._name).set(self._state.lag)
        GAPS.labels(self._name).set(len(self._state.gaps))
        readable = sum(n for at, n in lags.items() if at not in self._stopped)
        if not readable:
            self._state.moved_at = monotonic()
        idle = monotonic() - self._state.moved_at
        if idle > STUCK_SECONDS and not self._busy.locked():
            raise ConsumerDied(f"nothing moved for {idle:.0f} s with {readable} records waiting")

    def _check_broker(self) -> None:
        """Note a broker that does not answer: aiokafka itself waits for it without an error."""
        readable = self._state.partitions - self._stopped
        fetched = {(at, self._consumer.fetched_at(at)) for at in readable}
        if fetched != self._fetched or not readable or self._busy.locked():
            self._fetched, self._fetched_at = fetched, monotonic()
            self._state.broker.clear("silent")
        elif monotonic() - self._fetched_at > SILENT_SECONDS:
            self._state.broker.note("silent", "Kafka does not answer")

    async def _seek(self, partitions: set[TopicPartition]) -> None:
        """Seek to the stored positions of these partitions and drop their cached state."""
        async with self._pool.acquire() as connection:
            stored = await positions.read(connection, self._name)
        self._forget(partitions)
        for at in partitions:
            self._next[at] = stored[at].next_offset if at in stored else 0
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
            log.warning("batch still running after the rebalance timeout", reaction=self._name)


def _partition(record: ConsumerRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


async def _ensure_positions(
    pool: asyncpg.Pool, reaction: str, topics: Sequence[str], bootstrap: str
) -> None:
    """Give a reaction a position, at the first offset, in each topic it does not read yet.

    Safe to repeat. Raises NoSuchTopic, KafkaError, and what the pool raises.
    """
    async with pool.acquire() as connection:
        known = {topic for topic, _ in await positions.read(connection, reaction)}
    new = [topic for topic in topics if topic not in known]
    if not new:
        return
    async with open_reader(bootstrap, new) as consumer:
        first_offsets = await consumer.beginning_offsets(consumer.assignment())
    async with pool.acquire() as connection:
        await positions.add(connection, reaction, first_offsets)
