"""A Kafka consumer whose position, retries and commits are its user's, not Kafka's.

FastStream consumes. Kafka's committed offset is a hint for people: where reading goes on is decided
by what the user stored in its own transaction.
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

from libs.messaging.reader import is_dead
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


class NoTopic(Exception):
    """A topic to be read does not exist. Declare it and run the topics command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerConfig:
    """Where and how to consume. `group` stands before the subscription's name.

    Facts of other services are few, so a fetch may wait long for them: the broker answers at once
    when one comes.
    """

    bootstrap: str
    prefix: str
    group: str
    max_records: int = 500
    batch_timeout_ms: int = 10
    fetch_max_wait_ms: int = 500
    session_timeout_ms: int = 6000


class ConsumerUser(Protocol):
    """What a consumer calls. `handle` must not raise; `assigned` may, `failed` reports a poll."""

    async def handle(self, records: tuple[ConsumerRecord, ...]) -> None: ...
    async def assigned(self, partitions: set[TopicPartition]) -> None: ...
    async def revoked(self, partitions: set[TopicPartition]) -> None: ...
    def failed(self, error: KafkaError | None) -> None: ...


class BatchConsumer:
    """One member of a consumer group, from joining to leaving. Made inside the event loop."""

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
        """Whether it has silently ceased to fetch or to take part in its group."""
        return is_dead(self._subscriber.consumer)

    async def start(self, stop: asyncio.Event) -> None:
        """Join the group, unless `stop` is set before. Raises NoTopic, KafkaError."""
        starting, stopping = ensure_future(self._broker.start()), ensure_future(stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._poll_patiently(self._subscriber.consumer)
        except UnknownTopicOrPartitionError as error:
            raise NoTopic(f"there is no topic {' or '.join(self._topics)}") from error
        finally:
            # A start that is cut off would leave its connections open.
            await asyncio.wait([starting], timeout=STOP_SECONDS)
            starting.cancel()
            stopping.cancel()
            await asyncio.wait([starting, stopping])

    async def stop(self) -> None:
        """Leave the group, within limits."""
        self._ending.set()
        consumer = self._subscriber.consumer
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                try:
                    await self._broker.stop()
                except Exception as error:  # noqa: BLE001 -- it repeats what the consumer died of
                    log.info("consumer had died", consumer=self._name, error=str(error))
                    await _close_parts(consumer)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read from there next; nothing if the partition is another member's by now."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.seek(partition, offset)

    def pause(self, *partitions: TopicPartition) -> None:
        """Deliver nothing of these partitions."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.pause(*partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Deliver again."""
        with suppress(IllegalStateError):
            self._subscriber.consumer.resume(*partitions)

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The next offset to be written, as the last fetch saw it; None before the first."""
        end: int | None = None
        with suppress(IllegalStateError, AssertionError):
            end = self._subscriber.consumer.highwater(partition)
        return end

    def fetched_at(self, partition: TopicPartition) -> int | None:
        """When a fetch of the partition was last answered, also with nothing, by some clock."""
        at: int | None = None
        with suppress(IllegalStateError, AssertionError):
            at = self._subscriber.consumer.last_poll_timestamp(partition)
        return at

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Show Kafka's own tools how far reading is; it does not matter if this fails."""
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._subscriber.consumer.commit(dict(offsets))

    def _poll_patiently(self, consumer: Any) -> None:
        """Let no poll end before there are records, nor with an error.

        FastStream sleeps after every poll that brought nothing, and for 5 or 15 seconds after one
        that failed, while records wait.
        """
        poll = consumer.getmany

        async def getmany(*at: TopicPartition, timeout_ms: int, max_records: int) -> Any:
            pause = FIRST_BACKOFF
            while True:
                began = monotonic()
                try:
                    records = await poll(*at, timeout_ms=POLL_MS, max_records=max_records)
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
                # Nothing, and at once: FastStream's sleep is better than asking on and on.
                if records or (monotonic() - began) * 1000 < min(timeout_ms, POLL_MS):
                    return records

        consumer.getmany = getmany


async def _close_parts(consumer: Any) -> None:
    """Close what a consumer that died leaves open."""
    for part in (consumer._fetcher, consumer._client) if consumer else ():
        with suppress(KafkaError, RuntimeError):
            await part.close()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, user: ConsumerUser) -> None:
        self._user = user

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._user.revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._user.assigned(set(assigned))


async def _parse(records: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """The records as they are: FastStream's own parser fails on a foreign record's headers."""
    return KafkaMessage(body=b"", raw_message=records, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message
