"""Writes revoked sessions from Kafka into a service's table, where its API processes find them.

After each start the feed reads again every record whose tokens may still be valid: a session that
is stored twice changes nothing, and no stored position can be wrong. It is not a reaction with an
inbox, because an unreadable record must hold up no revocation, and the table records up to when it
is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.http import revoked_sessions
from libs.http.revocations import MARGIN
from libs.messaging.reader import is_dead
from libs.messaging.wire import Unreadable, decode
from libs.postgres.doorbell import REVOKED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.settings import ServiceSettings

LEVEL_SECONDS = 10.0
"""Seconds between two readings of the end offsets, up to which the table is recorded as level."""
RETRY_SECONDS = 1.0
REQUEST_MS = 10_000
CLOSE_SECONDS: Final = 5.0

log = structlog.get_logger("revocations")


class Died(Exception):
    """The consumer has ceased to work; a new one takes its place."""


AWAY: Final = (KafkaError, OSError, TimeoutError, Died, Unavailable)


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationTopic:
    """Where revocations are published: the topic, the event's type, its field with the session."""

    bootstrap: str
    topic: str
    event: str
    field: str


class RevocationFeed:
    """Stores revocations until cancelled; any number of feeds may run at once.

    `longest` is the longest life of a token of the service.
    """

    def __init__(
        self,
        topic: RevocationTopic,
        pool: Pool,
        doorbell: Doorbell,
        *,
        longest: timedelta,
        clock: Clock = utc_now,
    ) -> None:
        self._topic = topic
        self._pool = pool
        self._doorbell = doorbell
        self._kept = longest + MARGIN
        self._clock = clock
        self._trouble = ""

    async def run(self) -> None:
        """Read until cancelled, whatever becomes of Kafka and the database."""
        while True:
            try:
                await self._read()
            except AWAY as error:
                self._complain(type(error).__name__)
            except asyncio.CancelledError as error:
                # aiokafka cancels its own futures when a connection goes, and those who await them.
                if (me := asyncio.current_task()) is None or me.cancelling():
                    raise
                self._complain(type(error).__name__)
            except Exception:
                # A feed that stopped for good would be worse than any error.
                log.exception("revocations not read")
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        """Read what is in the topic, then what comes. Raises what aiokafka raises, and Died."""
        time = asyncio.get_running_loop().time
        async with _consumer(self._topic) as consumer:
            asked_at, ends, was_level = time(), await self._rewind(consumer), False
            while True:
                await self._read_up_to(consumer, ends)
                await revoked_sessions.set_level(self._pool, timedelta(seconds=time() - asked_at))
                self._complain("")
                if not was_level:
                    # Processes that have just started serve once they see this.
                    self._doorbell.ring(REVOKED)
                was_level = True
                await self._read_for(consumer, LEVEL_SECONDS)
                await revoked_sessions.delete_expired(self._pool)
                asked_at, ends = time(), await _end_offsets(consumer)

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once."""
        if trouble and trouble != self._trouble:
            log.warning("revocations not read", error=trouble)
        self._trouble = trouble

    async def _rewind(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Seek to the first record whose session may have valid tokens; returns the end offsets."""
        consumer.pause(*consumer.assignment())
        # The end offsets first: a record between the two requests must not be skipped.
        ends = await _end_offsets(consumer)
        since = int((self._clock() - self._kept).timestamp() * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(ends, since))
        for tp, end in ends.items():
            consumer.seek(tp, starts[tp].offset if starts[tp] else end)
        consumer.resume(*ends)
        return ends

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
        """Store what comes first within so many seconds; whether anything came."""
        batches = await consumer.getmany(timeout_ms=int(seconds * 1000))
        revoked = [one for records in batches.values() for one in self._revoked(records)]
        if await revoked_sessions.add(self._pool, revoked, kept=self._kept):
            self._doorbell.ring(REVOKED)
        if is_dead(consumer):
            raise Died
        return bool(batches)

    def _revoked(self, records: Iterable[ConsumerRecord]) -> Iterator[tuple[str, datetime]]:
        for record in records:
            try:
                found = _session_of(record, self._topic)
            except (Unreadable, msgspec.MsgspecError, ValueError) as error:
                # It remains in the topic; no revocation waits for it.
                where = f"{record.partition}:{record.offset}"
                log.error("unreadable record skipped", at=where, error=type(error).__name__)
                continue
            if found is not None and found[1] + self._kept > self._clock():
                yield found


@asynccontextmanager
async def open_revocation_feed(
    settings: ServiceSettings, service: str, *, category: str, event: type, longest: timedelta
) -> AsyncIterator[None]:
    """Run a feed of a service's table meanwhile. Each `event` of the category revokes the session
    that its `session_id` names. Raises Unavailable."""
    topic = RevocationTopic(
        bootstrap=settings.kafka_bootstrap_servers,
        topic=f"{settings.topic_prefix}.{category}",
        event=event.__name__,
        field="session_id",
    )
    dsn = settings.database_url.get_secret_value()
    async with open_doorbell(dsn, service) as doorbell:
        pool = await open_pool(
            dsn,
            role=application_role(service),
            schema=service,
            size=1,
            application_name=f"{service} revocations",
            tenant_scope=SYSTEM,
        )
        feed = RevocationFeed(topic, pool, doorbell, longest=longest)
        task = asyncio.create_task(feed.run(), name="revocations")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await pool.close()


@asynccontextmanager
async def _consumer(topic: RevocationTopic) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group; it begins at the first record where an offset is gone."""
    consumer = AIOKafkaConsumer(
        topic.topic,
        bootstrap_servers=topic.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_MS,
        # The broker holds a fetch of an idle topic so long, and the requests behind it.
        fetch_max_wait_ms=1000,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await _close(consumer)


async def _close(consumer: AIOKafkaConsumer) -> None:
    if not await _closes_cleanly(consumer.stop()):
        # A consumer that died raises its error again and leaves its connections open.
        for part in filter(None, (consumer._fetcher, consumer._client)):
            await _closes_cleanly(part.close())


async def _closes_cleanly(closing: Coroutine[Any, Any, None]) -> bool:
    """Whether it returns in time without an error.

    It runs in a task of its own, so that its CancelledError does not cancel this one.
    """
    task = asyncio.ensure_future(closing)
    await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if not task.done():
        task.cancel()
        return False
    return not task.cancelled() and task.exception() is None


async def _end_offsets(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """The end offset of each partition. Raises Died if the topic is gone."""
    async with asyncio.timeout(REQUEST_MS / 1000):
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    if not ends:
        raise Died
    return ends


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    async with asyncio.timeout(REQUEST_MS / 1000):
        return int(await consumer.position(tp))


def _session_of(record: ConsumerRecord, topic: RevocationTopic) -> tuple[str, datetime] | None:
    """The revoked session of a record and the time of its revocation; None for another event.

    Raises Unreadable, or what msgspec raises.
    """
    kind = next((value for name, value in record.headers if name == "ce_type"), None) or b""
    if kind.rpartition(b".")[2] != topic.event.encode():
        return None
    recorded = decode(record).recorded
    session = msgspec.json.decode(recorded.data, type=dict[str, Any]).get(topic.field)
    if not isinstance(session, str) or not session:
        raise Unreadable("no session in it")
    return session, recorded.recorded_at
