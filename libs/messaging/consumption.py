"""One life of a projector's consumer: from joining its group to leaving it, broken or not.

Longer than most: all that may end it, and all it may not skip meanwhile, stands in one place.
"""

import asyncio
from asyncio import ensure_future
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, time_ns
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, UnknownTopicOrPartitionError

from libs.eventsourcing.log import RecordedEvent
from libs.failpoints import reach
from libs.messaging import checkpoints, metrics
from libs.messaging.apply import MISFIT, TRANSIENT, Applied, apply
from libs.messaging.publisher import Lane
from libs.messaging.reader import ends_of, is_dead
from libs.messaging.subscription import (
    REVOKE_SECONDS,
    STOP_SECONDS,
    Source,
    make_patient,
    subscribe,
)
from libs.messaging.topics import topic_name
from libs.process.waiting import wait
from libs.projections.projection import Projection

Event = TypeVar("Event")

log = structlog.get_logger("projector")

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0
ASK_SECONDS: Final = 2.0

OnApplied: TypeAlias = Callable[[str, Sequence[RecordedEvent], int, int], None]
"""Told the projection, what was applied, and the times of beginning and commit in nanoseconds."""


class Broken(Exception):
    """The projection cannot go on by itself: a gap in the topic, or tables that do not fit."""


class Died(Exception):
    """The consumer does nothing any more; a new one will."""


@dataclass(slots=True)
class Progress:
    """What a health check may ask of a projector. `moved_at` is when it last had nothing to do or
    did something. Who has `joined` may have no lanes: others of its kind have them all."""

    joined: bool = False
    lanes: set[Lane] = field(default_factory=set)
    lag: int = 0
    parked: int = 0
    trouble: str | None = None
    broken: str | None = None
    moved_at: float = field(default_factory=monotonic)


class Consumption(Generic[Event]):
    """Feeds one projection, batch by batch, and never skips. To be made inside the event loop."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        projection: Projection[Event],
        source: Source,
        progress: Progress,
        on_applied: OnApplied | None,
    ) -> None:
        self._pool = pool
        self._projection = projection
        self._progress = progress
        self._on_applied = on_applied
        self._topics = [topic_name(source.prefix, category) for category in projection.topics]
        self._most = source.max_records
        self._busy = asyncio.Lock()
        self._ending = asyncio.Event()
        self._next: dict[Lane, int] = {}
        self._sought: dict[Lane, int] = {}
        self._hinted: dict[Lane, int] = {}
        self._broker, self._subscriber = subscribe(
            source, projection.name, self._topics, handle=self.handle, lanes=self
        )
        self.broken: str | None = None

    @property
    def _consumer(self) -> Any:
        return self._subscriber.consumer

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._busy.locked()

    @property
    def dead(self) -> bool:
        """See `is_dead`."""
        return is_dead(self._consumer)

    async def start(self, stop: asyncio.Event) -> None:
        """Join the group, or give up if `stop` is set before.

        Raises Broken if a topic does not exist, KafkaError if no broker answers.
        """
        starting, stopping = ensure_future(self._broker.start()), ensure_future(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                make_patient(self._consumer)
        except UnknownTopicOrPartitionError as error:
            raise Broken(f"there is no topic {' or '.join(self._topics)}") from error
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.wait([starting, stopping])

    async def stop(self) -> None:
        """Finish the batch under way and leave the group; neither may take for ever."""
        self._ending.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS), self._busy:
                    await self.hint()
        finally:
            # Come what may: a consumer left behind would keep its lanes and feed nobody.
            self._progress.lanes.clear()
            self._progress.joined = False
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._leave()

    async def _leave(self) -> None:
        consumer = self._consumer
        try:
            await self._broker.stop()
        except Exception as error:  # noqa: BLE001 -- whatever the consumer died of, it says it again
            log.info("consumer had died", projection=self._projection.name, error=str(error))
            # And then leaves open what it had open.
            for part in (consumer._fetcher, consumer._client) if consumer else ():
                with suppress(KafkaError, RuntimeError):
                    await part.close()

    async def lag(self) -> int:
        """How many records Kafka has beyond the checkpoints. Raises KafkaError, TimeoutError."""
        lanes = set(self._progress.lanes)
        async with asyncio.timeout(ASK_SECONDS):
            ends = await ends_of(self._consumer, lanes) if lanes else {}
        behind = (end - self._next.get(lane, 0) for lane, end in ends.items())
        return sum(max(records, 0) for records in behind)

    async def align(self) -> None:
        """Go where the checkpoints are, if somebody else moved them: a roll-back does."""
        if self.busy:
            return
        async with self._busy:
            await self._go_to_checkpoints(self._progress.lanes)

    async def hint(self) -> None:
        """Tell Kafka how far we are, for its own tools' sake."""
        lanes = {lane: self._next[lane] for lane in self._progress.lanes & self._next.keys()}
        if not lanes or lanes == self._hinted:
            return
        with suppress(KafkaError, TimeoutError):
            reach("offset-hinting")
            async with asyncio.timeout(ASK_SECONDS):
                await self._consumer.commit({TopicPartition(*at): n for at, n in lanes.items()})
            self._hinted = lanes
            reach("offset-hinted")

    async def handle(self, records: tuple[ConsumerRecord, ...]) -> None:
        """Apply one batch, however long it takes; nothing may be raised from here."""
        async with self._busy:
            pause = FIRST_BACKOFF
            while not self._ending.is_set():
                try:
                    await self._apply(records)
                except MISFIT as error:
                    self._break(f"{type(error).__name__}: {error}")
                except TRANSIENT as error:
                    self._progress.trouble = f"{type(error).__name__}: {error}"
                    log.info("batch waits", projection=self._projection.name, retry_in=pause)
                    await wait(self._ending, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                    continue
                except Exception as error:
                    log.exception("projector failed", projection=self._projection.name)
                    self._break(f"{type(error).__name__}: {error}")
                break

    async def _apply(self, records: Sequence[ConsumerRecord]) -> None:
        began = time_ns()
        applied = await apply(self._pool, self._projection, records)
        self._progress.trouble = None
        self._note(applied)
        if self._on_applied:
            self._on_applied(self._projection.name, applied.recorded, began, time_ns())
        if not applied.gaps:
            self._progress.broken = None
        for lane, gap in applied.gaps.items():
            self._mend(lane, applied.next_offsets[lane], gap)

    def _note(self, applied: Applied) -> None:
        name = self._projection.name
        self._next.update(applied.next_offsets)
        self._progress.moved_at = monotonic()
        metrics.PROJECTED.labels(name).inc(len(applied.recorded))
        metrics.DROPPED.labels(name).inc(applied.repeated)
        now = time_ns() / 1e9
        freshness = metrics.FRESHNESS.labels(name)
        # What one transaction wrote becomes visible together: it is one observation.
        for moment in {recorded.recorded_at for recorded in applied.recorded}:
            freshness.observe(max(now - moment.timestamp(), 0.0))

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
        with suppress(IllegalStateError):  # the lane may be somebody else's by now
            self._consumer.seek(TopicPartition(*lane), next_offset)

    def _break(self, why: str) -> None:
        self.broken = self._progress.broken = why
        self._ending.set()

    async def revoked(self, lanes: set[Lane]) -> None:
        """Let the batch under way finish before the lanes go, within limits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_SECONDS), self._busy:
                pass
        self._progress.lanes -= lanes

    async def assigned(self, lanes: set[Lane]) -> None:
        """Go to the checkpoints. The first line may not wait: the assignment is live already."""
        consumer, partitions = self._consumer, [TopicPartition(*lane) for lane in lanes]
        consumer.pause(*partitions)
        try:
            self._sought.clear()
            self._next = {}
            await self._go_to_checkpoints(lanes)
        except TRANSIENT as error:
            # Every batch is compared with its checkpoint anyway, so a wrong place is only slow.
            log.info("assigned without checkpoints", error=str(error))
        finally:
            # What arrives while it stops is not taken on: it would seem ready for ever after.
            if not self._ending.is_set():
                self._progress.lanes |= lanes
                self._progress.joined = True
                self._progress.moved_at = monotonic()
            consumer.resume(*partitions)

    async def _go_to_checkpoints(self, lanes: Iterable[Lane]) -> None:
        async with self._pool.acquire() as connection:
            places = await checkpoints.read(connection, self._projection.name)
        for lane in lanes:
            offset = places[lane].next_offset if lane in places else 0
            if self._next.get(lane) != offset:
                self._next[lane] = offset
                self._consumer.seek(TopicPartition(*lane), offset)
