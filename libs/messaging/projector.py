"""The projector: feeds one read model from Kafka, batch by batch, and never skips.

FastStream consumes; position, retries, parking and commits are ours, because the read model's own
transaction is the only truth about how far it is. Kafka's committed offset is a hint for people.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, time_ns
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from libs.eventsourcing.log import RecordedEvent
from libs.messaging import checkpoints, metrics, parking
from libs.messaging.apply import MISFIT, TRANSIENT, Applied, apply
from libs.messaging.projection import Projection
from libs.messaging.publisher import Lane
from libs.messaging.topics import MAX_MESSAGE_BYTES, topic_name

Event = TypeVar("Event")

log = structlog.get_logger("projector")

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0
REVOKE_SECONDS: Final = 20.0
HINT_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 60.0

OnApplied: TypeAlias = Callable[[str, Sequence[RecordedEvent], int, int], None]
"""Told the projection, what was applied, and the times of beginning and commit in nanoseconds."""


class Broken(Exception):
    """The projection cannot go on by itself: a gap in the topic, or tables that do not fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a projector reads from. `group` stands before the projection's name."""

    bootstrap: str
    prefix: str
    group: str
    max_records: int = 2000
    batch_timeout_ms: int = 10
    fetch_max_wait_ms: int = 50
    session_timeout_ms: int = 6000


@dataclass(slots=True)
class Progress:
    """What a health check may ask of a projector."""

    lanes: set[Lane] = field(default_factory=set)
    lag: int = 0
    parked: int = 0
    trouble: str | None = None
    broken: str | None = None
    moved_at: float = field(default_factory=monotonic)


class Projector(Generic[Event]):
    """Keeps the live generation of `projection` up to date."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        projection: Projection[Event],
        source: Source,
        *,
        on_applied: OnApplied | None = None,
    ) -> None:
        self._pool = pool
        self._projection = projection
        self._source = source
        self._on_applied = on_applied
        self._busy = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._broken: asyncio.Future[str] | None = None
        self._next: dict[Lane, int] = {}
        self._sought: dict[Lane, int] = {}
        self._hinted_at = 0.0
        self._subscriber: Any = None
        self.progress = Progress()

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set; survives database and broker going away.

        What cannot mend itself is said in `progress.broken`, and looked at again from time to
        time: a migration or a rebuild may have mended it.
        """
        pause = FIRST_BACKOFF
        while not stop.is_set():
            try:
                await self._consume(stop)
                pause = FIRST_BACKOFF
            except Exception as error:  # noqa: BLE001 -- whatever it was, the checkpoint stands
                self.progress.trouble = f"{type(error).__name__}: {error}"
                log.warning(
                    "projector interrupted",
                    projection=self._projection.name,
                    error=self.progress.trouble,
                    retry_in=pause,
                )
                await _wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)

    async def _consume(self, stop: asyncio.Event) -> None:
        """One life of the consumer: until stopped, broken or stuck."""
        self._broken = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._sought.clear()
        broker = self._make_broker()
        try:
            await broker.start()
            await self._watch(stop, self._broken)
        finally:
            self._stopping.set()
            async with self._busy:
                self.progress.lanes.clear()
            await broker.stop()

    def _make_broker(self) -> KafkaBroker:
        source = self._source
        broker = KafkaBroker(
            source.bootstrap,
            client_id=f"{source.group}.{self._projection.name}",
            apply_types=False,
            consumer_only=True,
            allow_auto_create_topics=False,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )
        self._subscriber = broker.subscriber(
            *(topic_name(source.prefix, category) for category in self._projection.topics),
            batch=True,
            group_id=f"{source.group}.{self._projection.name}",
            ack_policy=AckPolicy.MANUAL,
            # Safe, unlike "latest": whatever comes is compared with the checkpoint first.
            auto_offset_reset="earliest",
            max_records=source.max_records,
            batch_timeout_ms=source.batch_timeout_ms,
            fetch_max_wait_ms=source.fetch_max_wait_ms,
            max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
            session_timeout_ms=source.session_timeout_ms,
            heartbeat_interval_ms=source.session_timeout_ms // 4,
            rebalance_timeout_ms=int(REVOKE_SECONDS * 1500),
            parser=_parse,
            decoder=_decode,
            listener=_Positioning(self),
        )
        self._subscriber(self._handle)
        return broker

    @property
    def _consumer(self) -> Any:
        return self._subscriber.consumer

    async def _handle(self, records: tuple[ConsumerRecord, ...]) -> None:
        """Apply one batch, however long it takes; nothing may be raised from here."""
        async with self._busy:
            pause = FIRST_BACKOFF
            while not self._stopping.is_set():
                try:
                    await self._apply(records)
                except MISFIT as error:
                    self._break(f"{type(error).__name__}: {error}")
                except TRANSIENT as error:
                    self.progress.trouble = f"{type(error).__name__}: {error}"
                    log.info("batch waits", projection=self._projection.name, retry_in=pause)
                    await _wait(self._stopping, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                    continue
                except Exception as error:
                    log.exception("projector failed", projection=self._projection.name)
                    self._break(f"{type(error).__name__}: {error}")
                return

    async def _apply(self, records: Sequence[ConsumerRecord]) -> None:
        began = time_ns()
        applied = await apply(self._pool, self._projection, records)
        self.progress.trouble, self.progress.broken = None, None
        self._note(applied)
        if self._on_applied:
            self._on_applied(self._projection.name, applied.recorded, began, time_ns())
        for lane, gap in applied.gaps.items():
            self._mend(lane, applied.next_offsets[lane], gap)
        if applied.parked:
            await self._count_parked()
        await self._hint()

    def _note(self, applied: Applied) -> None:
        name = self._projection.name
        self._next.update(applied.next_offsets)
        self.progress.moved_at = monotonic()
        metrics.PROJECTED.labels(name).inc(len(applied.recorded))
        metrics.DROPPED.labels(name).inc(applied.repeated)
        now = time_ns() / 1e9
        freshness = metrics.FRESHNESS.labels(name)
        for recorded in applied.recorded:
            freshness.observe(max(now - recorded.recorded_at.timestamp(), 0.0))

    def _mend(self, lane: Lane, next_offset: int, gap: str) -> None:
        """Read again from where something is missing; if it is missing still, it is gone."""
        if self._sought.get(lane) == next_offset:
            self._break(
                f"{lane[0]} partition {lane[1]}: {gap}; records are gone from the topic, "
                "rebuild this read model from the log"
            )
            return
        self._sought[lane] = next_offset
        log.warning("reading again", projection=self._projection.name, lane=lane, gap=gap)
        self._consumer.seek(TopicPartition(*lane), next_offset)

    async def _count_parked(self) -> None:
        name = self._projection.name
        async with self._pool.acquire() as connection:
            self.progress.parked = await parking.count(connection, name)
        metrics.PARKED.labels(name).set(self.progress.parked)
        log.warning("streams are parked", projection=name, streams=self.progress.parked)
        if self.progress.parked > parking.CAP:
            self._break(
                f"{self.progress.parked} streams are parked: the projection itself is wrong"
            )

    def _break(self, why: str) -> None:
        self.progress.broken = why
        self._stopping.set()
        if self._broken and not self._broken.done():
            self._broken.set_result(why)

    async def _hint(self) -> None:
        """Tell Kafka how far we are, now and then, for its own tools' sake."""
        if monotonic() - self._hinted_at < HINT_SECONDS:
            return
        self._hinted_at = monotonic()
        lanes = self.progress.lanes & self._next.keys()
        with suppress(KafkaError):
            await self._consumer.commit({TopicPartition(*lane): self._next[lane] for lane in lanes})

    async def _watch(self, stop: asyncio.Event, broken: asyncio.Future[str]) -> None:
        """Measure the lag each second; raise when the consumer must be made anew."""
        await self._count_parked_quietly()
        while not await _wait(stop, 1.0):
            if broken.done():
                raise Broken(broken.result())
            self.progress.lag = self._lag()
            metrics.PROJECTION_LAG.labels(self._projection.name).set(self.progress.lag)
            still = monotonic() - self.progress.moved_at
            if self.progress.lag and still > STUCK_SECONDS and not self._busy.locked():
                self.progress.moved_at = monotonic()
                raise Broken(f"nothing moved for {still:.0f} s with {self.progress.lag} waiting")

    async def _count_parked_quietly(self) -> None:
        async with self._pool.acquire() as connection:
            self.progress.parked = await parking.count(connection, self._projection.name)
        metrics.PARKED.labels(self._projection.name).set(self.progress.parked)

    def _lag(self) -> int:
        lag = 0
        for lane in list(self.progress.lanes):
            end = self._consumer.highwater(TopicPartition(*lane)) if self._consumer else None
            lag += max((end or 0) - self._next.get(lane, 0), 0)
        return lag

    async def revoked(self, lanes: set[Lane]) -> None:
        """Let the batch under way finish before the lanes go, within limits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_SECONDS), self._busy:
                self.progress.lanes -= lanes

    async def assigned(self, lanes: set[Lane]) -> None:
        """Go to the checkpoints. The first line may not wait: the assignment is live already."""
        consumer, partitions = self._consumer, [TopicPartition(*lane) for lane in lanes]
        consumer.pause(*partitions)
        try:
            async with self._pool.acquire() as connection:
                places = await checkpoints.read(connection, self._projection.name)
            for lane in lanes:
                self._next[lane] = places[lane].next_offset if lane in places else 0
                consumer.seek(TopicPartition(*lane), self._next[lane])
        except TRANSIENT as error:
            # Every batch is compared with its checkpoint anyway, so a wrong place is only slow.
            log.info("assigned without checkpoints", error=str(error))
        finally:
            self.progress.lanes |= lanes
            self.progress.moved_at = monotonic()
            consumer.resume(*partitions)


class _Positioning(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands aiokafka's rebalances to the projector, in its own terms."""

    def __init__(self, projector: Projector[Any]) -> None:
        self._projector = projector

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._projector.revoked({(tp.topic, tp.partition) for tp in revoked})

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._projector.assigned({(tp.topic, tp.partition) for tp in assigned})


async def _parse(records: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """The records as they are: FastStream's own parser fails on a foreign record's headers."""
    return KafkaMessage(body=b"", raw_message=records, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, at most so long; whether it came."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
