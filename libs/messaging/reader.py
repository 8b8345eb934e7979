"""Kafka consumers without a group, and whether a consumer is dead."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from libs.messaging.topics import MAX_MESSAGE_BYTES

REQUEST_MS: Final = 10_000


class NoSuchTopic(Exception):
    """One of the topics does not exist. Declare it and run the topics command."""


class ConsumerDied(Exception):
    """The consumer has stopped working; a new one takes its place."""


@asynccontextmanager
async def open_reader(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all partitions of `topics`, positioned at their ends. Raises NoSuchTopic.

    Reading at an offset that is gone raises OffsetOutOfRangeError and skips nothing.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=REQUEST_MS,
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
    )
    try:
        await consumer.start()
        for (topic, partition), end in (await end_offsets(consumer)).items():
            consumer.seek(TopicPartition(topic, partition), end)
        yield consumer
    except UnknownTopicOrPartitionError as error:
        raise NoSuchTopic(", ".join(topics)) from error
    finally:
        await consumer.stop()


async def end_offsets(
    consumer: AIOKafkaConsumer, partitions: Iterable[tuple[str, int]] | None = None
) -> dict[tuple[str, int], int]:
    """The end offset of each partition, by default of all that the consumer has.

    Raises KafkaError, also where aiokafka raises CancelledError because the broker went away.
    """
    if partitions is None:
        requested = list(consumer.assignment())
    else:
        requested = [TopicPartition(*one) for one in partitions]
    try:
        ends = await consumer.end_offsets(requested)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise KafkaConnectionError("the broker went away") from error
    return {(tp.topic, tp.partition): end for tp, end in ends.items()}


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a consumer has stopped fetching, or stopped sending heartbeats to its group.

    aiokafka only logs this and has no public way to find out. It happens with uvloop, where a
    write to a connection just lost raises RuntimeError.
    """
    # A consumer without a group has no coordination task.
    coordinating = getattr(consumer._coordinator, "_coordination_task", None)
    tasks = consumer._fetcher._fetch_task, coordinating
    return any(task is not None and task.done() for task in tasks)
