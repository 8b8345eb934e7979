"""Sends a page of the log to Kafka, all partitions at once.

An idempotent aiokafka producer does not survive a failed batch, because its sequence numbers run
on. After `send` has raised, close the publisher, make a new one, and send the same page again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import Final, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.failpoints import failpoint
from libs.messaging.categories import category_of
from libs.messaging.record_batch import RecordBatch, RecordEncoder, StreamParts
from libs.messaging.topics import partition_of, topic_name
from libs.messaging.wire import Labels, Row, label

MAX_BATCH_BYTES: Final = 524_288
"""Half of the topics' limit for a request, so that headers never make a batch too large."""

METADATA_SECONDS: Final = 3.0
"""How long to wait for the metadata of a topic."""

CLOSE_SECONDS: Final = 1.0

CACHED_STREAMS: Final = 4096

RECORDS_PER_YIELD: Final = 256
"""After this many records other tasks of the event loop may run."""

TopicPartition: TypeAlias = tuple[str, int]
"""The topic's name and the partition's number."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The id and the incarnation of a log, which every record has in its headers.

    Topics that were sent again have incarnations of their own, in `by_topic`.
    """

    log_id: str
    incarnation: str
    by_topic: Mapping[str, str] = field(default_factory=dict)

    def labels(self, topic: str) -> Labels:
        """The headers with the log's identity for records of a topic."""
        return label(self.log_id, self.by_topic.get(topic, self.incarnation))


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A page ready to be sent: the batches of each partition, and the last number in each."""

    batches: dict[TopicPartition, list[RecordBatch]]
    heads: dict[TopicPartition, int]


class UnknownTopic(Exception):
    """A stream's category has no topic. Declare it and run the topics command."""


class SpentPublisher(Exception):
    """Kafka did not confirm in time; whether it has the page is unknown."""


class Publisher:
    """A producer for the streams of one service."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        service: str,
        prefix: str,
        deadline_seconds: float = 30.0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        self._producer = producer
        self._service = service
        self._prefix = prefix
        self._deadline = deadline_seconds
        self._max_batch_bytes = max_batch_bytes
        self._encode = RecordEncoder(service).encode
        self._partitions: dict[str, int] = {}
        self._streams: dict[str, tuple[TopicPartition, StreamParts]] = {}

    @classmethod
    async def connect(
        cls,
        bootstrap: str,
        *,
        service: str,
        prefix: str,
        deadline_seconds: float = 30.0,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> "Publisher":
        """A started publisher. Raises aiokafka's KafkaError if no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=f"{prefix}.{service}.relay",
            enable_idempotence=True,
            acks="all",
            max_batch_size=max_batch_bytes,
            metadata_max_age_ms=60_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return cls(
            producer,
            service=service,
            prefix=prefix,
            deadline_seconds=deadline_seconds,
            max_batch_bytes=max_batch_bytes,
        )

    async def prepare(
        self,
        rows: Sequence[Row],
        first_seq: int,
        heads: Mapping[TopicPartition, int],
        identity: LogIdentity,
    ) -> PreparedBatch:
        """Encode the rows, numbered from `first_seq`. Sends nothing.

        `heads` has the last number of every partition. Raises UnknownTopic.
        """
        await self._find_partitions({row[4] for row in rows})
        partitions: dict[TopicPartition, _PartitionBatches] = {}
        now_ms = time_ns() // 1_000_000
        for seq, row in enumerate(rows, first_seq):
            at, parts = self._streams[row[4]]
            if (one := partitions.get(at)) is None:
                labels, last = identity.labels(at[0]), heads.get(at, 0)
                one = partitions[at] = _PartitionBatches(
                    self._max_batch_bytes, now_ms, labels, last
                )
            one.add(self._encode(row, seq, one.last, parts, one.labels))
            one.last = seq
            if not seq % RECORDS_PER_YIELD:
                await asyncio.sleep(0)
        return PreparedBatch(
            {at: one.batches for at, one in partitions.items()},
            {at: one.last for at, one in partitions.items()},
        )

    async def send(self, batch: PreparedBatch) -> None:
        """Send all batches and wait until Kafka confirms. After an error, close the publisher."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._send_all(batch.batches)
        except TimeoutError as error:
            raise SpentPublisher(f"not confirmed within {self._deadline:.0f} s") from error

    async def close(self) -> None:
        """Disconnect from the broker, without waiting for unconfirmed batches."""
        stopping = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait([stopping], timeout=CLOSE_SECONDS)
        if not stopping.done():
            # Otherwise it would retry for ever, beside the next publisher; aiokafka has no public
            # way to abort.
            self._producer._sender.sender_task.cancel()
            await self._producer.client.close()
            self._producer._message_accumulator.fail_all(SpentPublisher("given up"))
            await asyncio.wait([stopping], timeout=CLOSE_SECONDS)

    async def _find_partitions(self, streams: set[str]) -> None:
        """Find and cache the partitions of streams that are not cached."""
        if len(self._streams) + len(streams) > CACHED_STREAMS:
            self._streams.clear()
        for stream in streams - self._streams.keys():
            topic = topic_name(self._prefix, category_of(self._service, stream))
            if topic not in self._partitions:
                self._partitions[topic] = await self._count_partitions(topic)
            at = topic, partition_of(stream, self._partitions[topic])
            self._streams[stream] = at, StreamParts(stream)

    async def _count_partitions(self, topic: str) -> int:
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                partitions = await self._producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnknownTopic(topic) from error
        return len(partitions)

    async def _send_all(self, batches: Mapping[TopicPartition, Sequence[RecordBatch]]) -> None:
        """Send to all partitions at once; if one fails, cancel the others: all are sent again."""
        tasks = [asyncio.ensure_future(self._send(*one)) for one in batches.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _send(self, at: TopicPartition, batches: Sequence[RecordBatch]) -> None:
        """Send the batches of one partition in order."""
        failpoint("partition-sending")
        topic, partition = at
        confirmations = [
            await self._producer.send_batch(batch, topic, partition=partition) for batch in batches
        ]
        failpoint("partition-sent")
        await asyncio.gather(*confirmations)
        failpoint("partition-flushed")


class _PartitionBatches:
    """Fills the batches of one partition, as few as possible."""

    __slots__ = ("_batch", "_max_bytes", "_timestamp_ms", "batches", "labels", "last")

    def __init__(self, max_bytes: int, timestamp_ms: int, labels: Labels, last: int) -> None:
        self._max_bytes = max_bytes
        self._timestamp_ms = timestamp_ms
        self.labels = labels
        self.last = last
        self._batch = RecordBatch(max_bytes, timestamp_ms)
        self.batches = [self._batch]

    def add(self, record: bytes) -> None:
        """Append a record."""
        if not self._batch.add(record):
            self._batch = RecordBatch(self._max_bytes, self._timestamp_ms)
            self.batches.append(self._batch)
            self._batch.add(record)
