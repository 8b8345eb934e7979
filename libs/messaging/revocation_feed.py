"""Writes revoked sessions from Kafka into a service's table, which its API processes read.

After each start the feed reads again every record whose tokens may still be valid. Storing a
session twice changes nothing, so no position is stored. The feed is not a reaction with an inbox,
because an unreadable record must not delay any revocation, and because the table records the time
up to which it is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.http import revoked_sessions
from libs.http.revocations import MARGIN
from libs.messaging import reader
from libs.messaging.reader import ConsumerDied, NoSuchTopic, end_offsets, is_dead, open_reader
from libs.messaging.wire import Unreadable, decode
from libs.postgres.doorbell import REVOKED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.process.concurrency import reraise_cancellation
from libs.settings import ServiceSettings

LEVEL_SECONDS = 10.0
"""Seconds between two requests for the end offsets, up to which the table is then complete."""
RETRY_SECONDS = 1.0
FETCH_WAIT_MS: Final = 1000
"""How long the broker holds a fetch of an idle topic, and the requests queued after it."""

log = structlog.get_logger("revocations")


OUTAGES: Final = (KafkaError, OSError, TimeoutError, ConsumerDied, NoSuchTopic, Unavailable)


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationTopic:
    """The topic of revocations, the type of their event, and its field that names the session."""

    bootstrap: str
    topic: str
    event: str
    field: str


class RevocationFeed:
    """Stores revocations until cancelled; any number of feeds may run at once.

    `longest` is the longest lifetime of a token of the service.
    """

    def __init__(
        self,
        topic: RevocationTopic,
        pool: Pool,
        doorbell: Doorbell,
        *,
        longest: timedelta,
    ) -> None:
        self._topic = topic
        self._pool = pool
        self._doorbell = doorbell
        self._kept = longest + MARGIN
        self._trouble = ""

    async def run(self) -> None:
        """Read until cancelled; survives outages of Kafka and the database."""
        while True:
            try:
                await self._read()
            except OUTAGES as error:
                reraise_cancellation(error)
                self._log_trouble(type(error).__name__)
            except asyncio.CancelledError as error:
                # aiokafka cancels its own futures, and their awaiters, when a connection is lost.
                if (me := asyncio.current_task()) is None or me.cancelling():
                    raise
                self._log_trouble(type(error).__name__)
            except Exception as error:
                reraise_cancellation(error)
                # The feed must go on after any error.
                log.exception("revocations not read")
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        """Read the topic to its end, then follow it. Raises what aiokafka raises, ConsumerDied."""
        time = asyncio.get_running_loop().time
        opened = open_reader(
            self._topic.bootstrap,
            [self._topic.topic],
            reset="earliest",
            max_wait_ms=FETCH_WAIT_MS,
        )
        async with opened as consumer:
            requested_at, ends, was_level = time(), await self._rewind(consumer), False
            while True:
                await self._read_up_to(consumer, ends)
                await revoked_sessions.set_level(
                    self._pool, timedelta(seconds=time() - requested_at)
                )
                self._log_trouble("")
                if not was_level:
                    # Processes that have just started wait for this before they serve.
                    self._doorbell.ring(REVOKED)
                was_level = True
                await self._read_for(consumer, LEVEL_SECONDS)
                await revoked_sessions.delete_expired(self._pool)
                requested_at, ends = time(), await end_offsets(consumer)

    def _log_trouble(self, trouble: str) -> None:
        """Log a new error once."""
        if trouble and trouble != self._trouble:
            log.warning("revocations not read", error=trouble)
        self._trouble = trouble

    async def _rewind(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Seek to the first record whose tokens may still be valid. Returns the end offsets."""
        consumer.pause(*consumer.assignment())
        # The end offsets first: a record between the two requests must not be skipped.
        ends = await end_offsets(consumer)
        since = int((utc_now() - self._kept).timestamp() * 1000)
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
                if not await self._poll(consumer, reader.REQUEST_MS / 1000):
                    raise ConsumerDied

    async def _read_for(self, consumer: AIOKafkaConsumer, seconds: float) -> None:
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while (left := until - now()) > 0:
            await self._poll(consumer, left)

    async def _poll(self, consumer: AIOKafkaConsumer, seconds: float) -> bool:
        """Store the next records, if any come within `seconds`. Returns whether some came."""
        batches = await consumer.getmany(timeout_ms=int(seconds * 1000))
        revoked = [one for records in batches.values() for one in self._revoked(records)]
        if await revoked_sessions.add(self._pool, revoked, kept=self._kept):
            self._doorbell.ring(REVOKED)
        if is_dead(consumer):
            raise ConsumerDied
        return bool(batches)

    def _revoked(self, records: Iterable[ConsumerRecord]) -> Iterator[tuple[str, datetime]]:
        for record in records:
            try:
                revoked = _session_of(record, self._topic)
            except (Unreadable, msgspec.MsgspecError, ValueError) as error:
                # The record stays in the topic; no revocation waits for it.
                offset = f"{record.partition}:{record.offset}"
                log.error("unreadable record skipped", at=offset, error=type(error).__name__)
                continue
            if revoked is not None and revoked[1] + self._kept > utc_now():
                yield revoked


@asynccontextmanager
async def open_revocation_feed(
    settings: ServiceSettings, service: str, *, category: str, event: type, longest: timedelta
) -> AsyncIterator[None]:
    """Run a service's feed while the block runs. Raises Unavailable.

    Each `event` of the category revokes the session in its field `session_id`.
    """
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


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    async with asyncio.timeout(reader.REQUEST_MS / 1000):
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
        raise Unreadable("it names no session")
    return session, recorded.recorded_at
