"""A Kafka consumer whose positions, retries and commits belong to its user, not to Kafka.

FastStream consumes. Kafka's committed offset is information for people only: reading continues at
the position that the user stored in its own transaction.
"""

import asyncio
import logging
from asyncio import ensure_future
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, UnknownTopicOrPartitionError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from libs.messaging.reader import NoSuchTopic, close_parts, is_dead
from libs.messaging.topics import MAX_MESSAGE_BYTES
from libs.process.concurrency import wait

REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for the batch in progress."""
STOP_SECONDS: Final = 10.0
COMMIT_SECONDS: Final = 2.0
METADATA_MS: Final = 30_000
POLL_MS: Final = 1000
FIRST_BACKOFF: Final = 0.2
LAST_BACKOFF: Final = 5.0

log = structlog.get_logger("consumer")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerConfig:
    """Where and how to consume. The consumer group is `<group>.<name of the subscription>`.

    Facts of other services are few, so a fetch may wait long: the broker answers at once when a
    record arrives.
    """

    bootstrap: str
    prefix: str
    group: str
    max_records: int = 500
    batch_timeout_ms: int = 10
    fetch_max_wait_ms: int = 500
    session_timeout_ms: int = 6000


class ConsumerUser(Protocol):
    """Callbacks of a consumer. `handle` must not raise; `failed` gets each poll's error or None."""

    async def handle(self, records: tuple[ConsumerRecord, ...]) -> None: ...
    async def assigned(self, partitions: set[TopicPartition]) -> None: ...
    async def revoked(self, partitions: set[TopicPartition]) -> None: ...
    def failed(self, error: KafkaError | None) -> None: ...


class BatchConsumer:
    """One member of a consumer group, from joining to leaving. Create it inside the event loop."""

    def __init__(
        self, config: ConsumerConfig, name: str, topics: Sequence[str], user: ConsumerUser
    ) -> None:
        self._name = f"{config.group}.{name}"
        self._topics = topics
        self._user = user
        self._ending = asyncio.Event()
        self._broker = KafkaBroker(
            config.bootstrap,
            client_id=self._name,
            apply_types=False,
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=STOP_SECONDS / 2,
            metadata_max_age_ms=METADATA_MS,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )
        self._subscriber: Any = self._broker.subscriber(
            *topics,
            batch=True,
            group_id=self._name,
            ack_policy=AckPolicy.MANUAL,
            # Safe, unlike "latest": every record is compared with the stored position first.
            auto_offset_reset="earliest",
            max_records=config.max_records,
            batch_timeout_ms=config.batch_timeout_ms,
            fetch_max_wait_ms=config.fetch_max_wait_ms,
            max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
            session_timeout_ms=config.session_timeout_ms,
            heartbeat_interval_ms=config.session_timeout_ms // 4,
            rebalance_timeout_ms=int(REVOKE_SECONDS * 1500),
            parser=_parse,
            decoder=_decode,
            listener=_Listener(user),
        )
        self._subscriber(user.handle)

    @property
    def dead(self) -> bool:
        """Whether the consumer has silently stopped fetching or taking part in its group."""
        return is_dead(self._subscriber.consumer)

    async def start(self, stop: asyncio.Event) -> None:
        """Join the group, unless `stop` is set before. Raises NoSuchTopic, KafkaError."""
        starting, stopping = ensure_future(self._broker.start()), ensure_future(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._poll_patiently(self._subscriber.consumer)
        except UnknownTopicOrPartitionError as error:
            raise NoSuchTopic(f"there is no topic {' or '.join(self._topics)}") from error
        finally:
            # A start that is cancelled leaves its connections open.
            await asyncio.wait([starting], timeout=STOP_SECONDS)
            starting.cancel()
            stopping.cancel()
            await asyncio.wait([starting, stopping])

    async def stop(self) -> None:
        """Leave the group within `STOP_SECONDS`."""
        self._ending.set()
        consumer = self._subscriber.consumer
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                try:
                    await self._broker.stop()
                except Exception as error:  # noqa: BLE001 -- it repeats the error that killed the consumer
                    log.info("consumer had died", consumer=self._name, error=str(error))
                    await close_parts(consumer)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue reading at `offset`; does nothing if the partition was reassigned."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.seek(partition, offset)

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop delivering records of these partitions."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.pause(*partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Deliver records of these partitions again."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.resume(*partitions)

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The end offset of the partition at the last fetch; None before the first fetch."""
        end: int | None = None
        with suppress(IllegalStateError, AssertionError):
            end = self._subscriber.consumer.highwater(partition)
        return end

    def fetched_at(self, partition: TopicPartition) -> int | None:
        """When a fetch was last answered, even with no record, by a clock of the consumer."""
        timestamp: int | None = None
        with suppress(IllegalStateError, AssertionError):
            timestamp = self._subscriber.consumer.last_poll_timestamp(partition)
        return timestamp

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Report the offsets to Kafka for its own tools; a failure is ignored."""
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._subscriber.consumer.commit(dict(offsets))

    def _poll_patiently(self, consumer: Any) -> None:
        """Make every poll wait for records and retry errors.

        FastStream sleeps after every empty poll, and for 5 or 15 seconds after a failed one, while
        records wait.
        """
        poll = consumer.getmany

        async def getmany(*partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
            pause = FIRST_BACKOFF
            while True:
                started_at = monotonic()
                try:
                    records = await poll(*partitions, timeout_ms=POLL_MS, max_records=max_records)
                except KafkaError as error:
                    self._user.failed(error)
                    log.warning(
                        "poll failed", consumer=self._name, error=repr(error), retry_in=pause
                    )
                    await wait(self._ending, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                    continue
                self._user.failed(None)
                pause = FIRST_BACKOFF
                # An empty answer at once: let FastStream sleep instead of polling in a tight loop.
                if records or (monotonic() - started_at) * 1000 < min(timeout_ms, POLL_MS):
                    return records

        consumer.getmany = getmany


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, user: ConsumerUser) -> None:
        self._user = user

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._user.revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._user.assigned(set(assigned))


async def _parse(records: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """Pass the records on unparsed: FastStream's parser fails on headers of foreign records."""
    return KafkaMessage(body=b"", raw_message=records, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message
