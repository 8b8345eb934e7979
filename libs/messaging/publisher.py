"""Sending a page of the log: one batch per partition, all at once, confirmed or dead.

An idempotent aiokafka producer does not survive a failed batch: its sequence numbers run on. So
whoever sees `publish` raise throws the publisher away, makes a new one, and sends the same page.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.eventsourcing.log import RecordedEvent
from libs.failpoints import reach
from libs.messaging.categories import category_of
from libs.messaging.topics import partition_of, topic_name
from libs.messaging.wire import Headers, encode_headers

MAX_BATCH_BYTES: Final = 524_288
"""Half of what the topics accept in one request, so that headers never push a batch over."""

METADATA_SECONDS: Final = 3.0
"""How long to look for a topic."""

CLOSE_SECONDS: Final = 1.0

Lane: TypeAlias = tuple[str, int]
"""Topic and partition."""

Message: TypeAlias = tuple[bytes, bytes, Headers]


@dataclass(frozen=True, slots=True)
class Shipment:
    """A page as it goes out: the messages of each lane, and the last number in it."""

    lanes: dict[Lane, list[Message]]
    heads: dict[Lane, int]


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
    ) -> None:
        self._producer = producer
        self._service = service
        self._prefix = prefix
        self._deadline = deadline_seconds
        self._partitions: dict[str, int] = {}

    @classmethod
    async def connect(
        cls, bootstrap: str, *, service: str, prefix: str, deadline_seconds: float = 30.0
    ) -> "Publisher":
        """A started publisher. Raises aiokafka's KafkaError if no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=f"{prefix}.{service}.relay",
            enable_idempotence=True,
            acks="all",
            max_batch_size=MAX_BATCH_BYTES,
            metadata_max_age_ms=60_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return cls(producer, service=service, prefix=prefix, deadline_seconds=deadline_seconds)

    async def publish(
        self, events: Sequence[RecordedEvent], first_seq: int, heads: Mapping[Lane, int]
    ) -> dict[Lane, int]:
        """Prepare and send: see there."""
        return await self.send(await self.prepare(events, first_seq, heads))

    async def prepare(
        self, events: Sequence[RecordedEvent], first_seq: int, heads: Mapping[Lane, int]
    ) -> Shipment:
        """Number all `events` from `first_seq`; `heads` is the last number of every lane.

        Nothing is sent. Raises UnknownTopic.
        """
        lanes: dict[Lane, list[Message]] = defaultdict(list)
        last = dict(heads)
        for seq, event in enumerate(events, first_seq):
            lane = self._known_lane(event.stream) or await self._lane(event.stream)
            headers = encode_headers(self._service, event, seq, last.get(lane, 0))
            lanes[lane].append((event.stream.encode(), event.data, headers))
            last[lane] = seq
        return Shipment(lanes, {lane: last[lane] for lane in lanes})

    async def send(self, shipment: Shipment) -> dict[Lane, int]:
        """Wait until Kafka has all of it: the new heads of the lanes written to.

        Whoever sees it raise has a publisher that is spent.
        """
        try:
            async with asyncio.timeout(self._deadline):
                await self._send_all(shipment.lanes)
        except TimeoutError as error:
            raise SpentPublisher(f"not confirmed within {self._deadline:.0f} s") from error
        return shipment.heads

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

    def _known_lane(self, stream: str) -> Lane | None:
        """The lane of a stream, if its topic was written to before."""
        topic = topic_name(self._prefix, category_of(self._service, stream))
        partitions = self._partitions.get(topic)
        return (topic, partition_of(stream, partitions)) if partitions else None

    async def _lane(self, stream: str) -> Lane:
        topic = topic_name(self._prefix, category_of(self._service, stream))
        self._partitions[topic] = await self._count_partitions(topic)
        return topic, partition_of(stream, self._partitions[topic])

    async def _count_partitions(self, topic: str) -> int:
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                partitions = await self._producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnknownTopic(topic) from error
        return len(partitions)

    async def _send_all(self, lanes: Mapping[Lane, Sequence[Message]]) -> None:
        """All lanes at once; when one fails the others are given up, for all are sent again."""
        sending = [asyncio.ensure_future(self._send(*lane)) for lane in lanes.items()]
        try:
            await asyncio.gather(*sending)
        finally:
            for task in sending:
                task.cancel()

    async def _send(self, lane: Lane, messages: Sequence[Message]) -> None:
        """One lane's messages in order, as few batches as they fit in."""
        reach("lane-sending")
        topic, partition = lane
        confirmations: list[Awaitable[Any]] = []
        batch = self._producer.create_batch()
        for key, value, headers in messages:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                confirmations.append(
                    await self._producer.send_batch(batch, topic, partition=partition)
                )
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
        confirmations.append(await self._producer.send_batch(batch, topic, partition=partition))
        reach("lane-sent")
        await asyncio.gather(*confirmations)
        reach("lane-flushed")
