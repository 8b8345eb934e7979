"""Which sessions are over: heard from Kafka, remembered until no token of theirs can live.

Longer than most: what is known, how it is heard, and how sure one can be of it belong together.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from libs.clock import Clock, utc_now
from libs.http.health import CheckResult
from libs.messaging.reader import is_dead
from libs.messaging.wire import Unreadable, decode
from libs.settings import ServiceSettings

MARGIN: Final = timedelta(minutes=5)
"""Clocks differ, and a pass may be signed by somebody who has not yet heard."""

BLIND_AFTER: Final = timedelta(seconds=20)
LOOK_SECONDS: Final = 2.0
TICK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
REQUEST_MS: Final = 10_000
CLOSE_SECONDS: Final = 5.0
FIRST_SECONDS: Final = 5.0

BLIND: Final = Gauge(
    "tillstream_revocations_blind_since_seconds",
    "Since when revoked sessions may be missed, in Unix time; 0 while none is",
    multiprocess_mode="livemax",
)
REVOKED: Final = Gauge(
    "tillstream_revoked_sessions",
    "Sessions remembered as revoked",
    multiprocess_mode="livemax",
)

log = structlog.get_logger("revocations")


class Died(Exception):
    """The consumer does nothing any more; a new one will."""


AWAY: Final = (KafkaError, OSError, TimeoutError, Died)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """Where revocations are told: the topic, the event's type, and its field with the session."""

    bootstrap: str
    topic: str
    event: str
    field: str


def revocations_of(
    settings: ServiceSettings, *, category: str, event: type, longest: timedelta
) -> "Revocations":
    """What a service remembers of the `event`s of a category, whose `session_id` is over then."""
    heard = Heard(
        bootstrap=settings.kafka_bootstrap_servers,
        topic=f"{settings.topic_prefix}.{category}",
        event=event.__name__,
        field="session_id",
    )
    return Revocations(heard, longest=longest)


class Revocations:
    """Remembers revoked sessions for `longest`, the longest life of any token, and some minutes.

    While Kafka is away it keeps what it knows, forgets what can be forgotten, and says that it may
    miss some: `blind_since`.
    """

    def __init__(self, heard: Heard, *, longest: timedelta, clock: Clock = utc_now) -> None:
        self._heard = heard
        self._kept = longest + MARGIN
        self._clock = clock
        self._until: dict[str, datetime] = {}
        self._level_at = clock()
        self._level = asyncio.Event()
        self._trouble = ""

    def is_revoked(self, session: str) -> bool:
        """Whether tokens of this session are worthless. A token without a session cannot be."""
        return session in self._until

    def remember(self, session: str, revoked_at: datetime) -> None:
        """Refuse the session from now on. For whoever revokes it, ahead of Kafka; may repeat."""
        until = revoked_at + self._kept
        if session and until > self._clock():
            self._until[session] = max(until, self._until.get(session, until))

    @property
    def blind_since(self) -> datetime | None:
        """Since when revocations may be missing here, or None while all are known.

        Before the topic was read for the first time: since the start.
        """
        known = self._level.is_set() and self._clock() - self._level_at <= BLIND_AFTER
        return None if known else self._level_at

    async def known_within(self, seconds: float) -> bool:
        """Wait until the topic was read to its end for the first time; whether it was, in time.

        A process that has just started should ask before it serves: until then it would believe
        tokens that were revoked while it was down.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._level.wait()
        return self._level.is_set()

    async def check(self) -> CheckResult:
        """For readiness: always good, for to take the service away would make nothing safer."""
        blind = self.blind_since
        return CheckResult(True, f"blind since {blind:%H:%M:%S} UTC" if blind else "")

    async def follow(self, stop: asyncio.Event) -> None:
        """Listen until `stop`, whatever becomes of Kafka."""
        listening = asyncio.ensure_future(self._listen_on())
        try:
            while not stop.is_set():
                self._tick()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await stop.wait()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _listen_on(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                self._complain(type(error).__name__)
            except asyncio.CancelledError as error:
                # aiokafka cancels its own futures when a connection goes, and whoever awaits them.
                if (me := asyncio.current_task()) is None or me.cancelling():
                    raise
                self._complain(type(error).__name__)
            except Exception:
                # Whatever it was: a service that stops listening for good would be worse.
                log.exception("revocations not heard")
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Read all that still matters, then what comes. Raises what aiokafka raises, and Died."""
        async with _consumer(self._heard) as consumer:
            await self._rewind(consumer)
            while True:
                asked_at, ends = self._clock(), await _ends(consumer)
                await self._read_up_to(consumer, ends)
                self._level_at = asked_at
                self._level.set()
                self._complain("")
                await self._read_for(consumer, LOOK_SECONDS)

    def _complain(self, trouble: str) -> None:
        """Say what is wrong, once."""
        if trouble and trouble != self._trouble:
            log.warning("revocations not heard", error=trouble)
        self._trouble = trouble

    async def _rewind(self, consumer: AIOKafkaConsumer) -> None:
        """Go to the first record whose session's tokens may live."""
        # The ends first: what comes between the two questions must not be skipped.
        ends = await _ends(consumer)
        since = int((self._clock() - self._kept).timestamp() * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(ends, since))
        for tp, end in ends.items():
            consumer.seek(tp, starts[tp].offset if starts[tp] else end)

    async def _read_up_to(
        self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> None:
        for tp, end in ends.items():
            while await _position(consumer, tp) < end:
                if not await self._poll(consumer, REQUEST_MS / 1000):
                    raise Died

    async def _read_for(self, consumer: AIOKafkaConsumer, seconds: float) -> None:
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while (left := until - now()) > 0:
            await self._poll(consumer, left)

    async def _poll(self, consumer: AIOKafkaConsumer, seconds: float) -> bool:
        """Take what comes first within so many seconds; whether anything did."""
        batches = await consumer.getmany(timeout_ms=int(seconds * 1000))
        for records in batches.values():
            self._take(records)
        if is_dead(consumer):
            raise Died
        return bool(batches)

    def _take(self, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            try:
                told = _told(record, self._heard)
            except (Unreadable, msgspec.MsgspecError, ValueError) as error:
                # It stays in the topic for people to look at; nobody's revocation waits for it.
                where = f"{record.partition}:{record.offset}"
                log.error("unreadable record skipped", at=where, error=type(error).__name__)
                continue
            if told is not None:
                self.remember(*told)

    def _tick(self) -> None:
        now = self._clock()
        over = [session for session, until in self._until.items() if until <= now]
        for session in over:
            del self._until[session]
        REVOKED.set(len(self._until))
        blind = self.blind_since
        BLIND.set(blind.timestamp() if blind else 0)


@asynccontextmanager
async def following(revocations: Revocations) -> AsyncIterator[None]:
    """Listen meanwhile. Entered once what was revoked before is known, or after `FIRST_SECONDS`:
    a service that Kafka keeps waiting still serves, and says that it is blind.
    """
    stop = asyncio.Event()
    listening = asyncio.create_task(revocations.follow(stop))
    try:
        await revocations.known_within(FIRST_SECONDS)
        yield
    finally:
        stop.set()
        await listening


@asynccontextmanager
async def _consumer(heard: Heard) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group, which reads from the beginning whatever it cannot find."""
    consumer = AIOKafkaConsumer(
        heard.topic,
        bootstrap_servers=heard.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_MS,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await _close(consumer)


async def _close(consumer: AIOKafkaConsumer) -> None:
    if not await _ends_well(consumer.stop()):
        # Whatever it died of, it says it again, and then leaves open what it had open.
        for part in filter(None, (consumer._fetcher, consumer._client)):
            await _ends_well(part.close())


async def _ends_well(closing: Coroutine[Any, Any, None]) -> bool:
    """Whether it ends in time and without a word; as a task of its own, so that nothing it raises
    is taken for ours, not even a CancelledError."""
    task = asyncio.ensure_future(closing)
    await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if not task.done():
        task.cancel()
        return False
    return not task.cancelled() and task.exception() is None


async def _ends(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Where the topic ends now; a topic that is gone has no end, and tells nobody anything."""
    async with asyncio.timeout(REQUEST_MS / 1000):
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    if not ends:
        raise Died
    return ends


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    async with asyncio.timeout(REQUEST_MS / 1000):
        return int(await consumer.position(tp))


def _told(record: ConsumerRecord, heard: Heard) -> tuple[str, datetime] | None:
    """The session that a record says is over, and since when; None if it says something else.

    Raises Unreadable, or what msgspec raises.
    """
    kind = next((value for name, value in record.headers if name == "ce_type"), None) or b""
    if kind.rpartition(b".")[2] != heard.event.encode():
        return None
    recorded = decode(record).recorded
    session = msgspec.json.decode(recorded.data, type=dict[str, Any]).get(heard.field)
    if not isinstance(session, str):
        raise Unreadable("no session in it")
    return session, recorded.recorded_at
