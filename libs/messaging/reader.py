"""Reading topics without a group, from places set by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.messaging.publisher import Lane
from libs.messaging.topics import MAX_MESSAGE_BYTES


class NoSuchTopic(Exception):
    """There is no such topic. Declare it and run the topics command."""


@asynccontextmanager
async def open_reader(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer on all lanes of `topics`, standing at their ends. Raises NoSuchTopic.

    It says OffsetOutOfRangeError, and skips nothing, when it is told to read what is gone.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
    )
    await consumer.start()
    try:
        await consumer.topics()
        consumer.assign([lane for topic in topics for lane in _lanes(consumer, topic)])
        for (topic, partition), end in (await ends_of(consumer)).items():
            consumer.seek(TopicPartition(topic, partition), end)
        yield consumer
    finally:
        await consumer.stop()


async def ends_of(consumer: AIOKafkaConsumer) -> dict[Lane, int]:
    """The next offset to be written in each of the consumer's lanes."""
    ends = await consumer.end_offsets(list(consumer.assignment()))
    return {(tp.topic, tp.partition): end for tp, end in ends.items()}


def _lanes(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise NoSuchTopic(topic)
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
