"""Sending a page of the log: one batch per partition, all at once, confirmed or dead.

An idempotent aiokafka producer does not survive a failed batch: its sequence numbers run on. After
`send` has raised, the publisher is closed, a new one is made, and the same page is sent again.
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
from libs.messaging.wire import Headers, Row, label

MAX_BATCH_BYTES: Final = 524_288
"""Half of what the topics accept in one request, so that headers never push a batch over."""

METADATA_SECONDS: Final = 3.0
"""How long to look for a topic."""

CLOSE_SECONDS: Final = 1.0

REMEMBERED_STREAMS: Final = 4096

AT_ONCE: Final = 256
"""So many records are made before whatever else the process does has its turn."""

TopicPartition: TypeAlias = tuple[str, int]
"""Name and number."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """What every record says of the log it comes from. The incarnation of a topic that was sent
    again differs from the log's own: see `by_topic`.
    """

    log_id: str
    incarnation: str
    by_topic: Mapping[str, str] = field(default_factory=dict)

    def labels(self, topic: str) -> Headers:
        """The headers that say it in a topic."""
        return label(self.log_id, self.by_topic.get(topic, self.incarnation))


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A page as it goes out: the batches of each partition, and the last number in it."""

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
        self._placed: dict[str, tuple[TopicPartition, StreamParts]] = {}

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
        """Number all rows from `first_seq`; `heads` is the last number of every partition.

        Nothing is sent. Raises UnknownTopic.
        """
        await self._place({row[4] for row in rows})
        filling: dict[TopicPartition, _Filling] = {}
        moment = time_ns() // 1_000_000
        for seq, row in enumerate(rows, first_seq):
            place, parts = self._placed[row[4]]
            if (one := filling.get(place)) is None:
                labels, last = identity.labels(place[0]), heads.get(place, 0)
                one = filling[place] = _Filling(self._max_batch_bytes, moment, labels, last)
            one.add(self._encode(row, seq, one.last, parts, one.labels))
            one.last = seq
            if not seq % AT_ONCE:
                await asyncio.sleep(0)
        return PreparedBatch(
            {place: one.batches for place, one in filling.items()},
            {place: one.last for place, one in filling.items()},
        )

    async def send(self, batch: PreparedBatch) -> None:
        """Wait until Kafka has all of it. After it has raised, the publisher is spent."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._send_all(batch.batches)
        except TimeoutError as error:
            raise SpentPublisher(f"not confirmed within {self._deadline:.0f} s") from error

    async def close(self) -> None:
        """Let go of the broker, without waiting for what was not confirmed."""
        stopping = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait([stopping], timeout=CLOSE_SECONDS)
        if not stopping.done():
            # Left alone it would go on trying for ever, beside the next publisher, and aiokafka
            # has no public way to give up.
            self._producer._sender.sender_task.cancel()
            await self._producer.client.close()
            self._producer._message_accumulator.fail_all(SpentPublisher("given up"))
            await asyncio.wait([stopping], timeout=CLOSE_SECONDS)

    async def _place(self, streams: set[str]) -> None:
        """Find the partitions of streams that are new here."""
        if len(self._placed) + len(streams) > REMEMBERED_STREAMS:
            self._placed.clear()
        for stream in streams - self._placed.keys():
            topic = topic_name(self._prefix, category_of(self._service, stream))
            if topic not in self._partitions:
                self._partitions[topic] = await self._count_partitions(topic)
            place = topic, partition_of(stream, self._partitions[topic])
            self._placed[stream] = place, StreamParts(stream)

    async def _count_partitions(self, topic: str) -> int:
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                partitions = await self._producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnknownTopic(topic) from error
        return len(partitions)

    async def _send_all(self, batches: Mapping[TopicPartition, Sequence[RecordBatch]]) -> None:
        """All partitions at once; if one fails the others are given up, for all are sent again."""
        sending = [asyncio.ensure_future(self._send(*one)) for one in batches.items()]
        try:
            await asyncio.gather(*sending)
        finally:
            for task in sending:
                task.cancel()

    async def _send(self, place: TopicPartition, batches: Sequence[RecordBatch]) -> None:
        """One partition's batches, in order."""
        failpoint("partition-sending")
        topic, partition = place
        confirmations = [
            await self._producer.send_batch(batch, topic, partition=partition) for batch in batches
        ]
        failpoint("partition-sent")
        await asyncio.gather(*confirmations)
        failpoint("partition-flushed")


class _Filling:
    """The batches of one partition, as few as its records fit in."""

    __slots__ = ("_batch", "_max_bytes", "_moment", "batches", "labels", "last")

    def __init__(self, max_bytes: int, moment: int, labels: Headers, last: int) -> None:
        self._max_bytes = max_bytes
        self._moment = moment
        self.labels = labels
        self.last = last
        self._batch = RecordBatch(max_bytes, moment)
        self.batches = [self._batch]

    def add(self, record: bytes) -> None:
        """Append a record."""
        if not self._batch.add(record):
            self._batch = RecordBatch(self._max_bytes, self._moment)
            self.batches.append(self._batch)
            self._batch.add(record)
