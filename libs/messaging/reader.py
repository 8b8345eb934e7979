"""Reading topics without a group, from places set by hand."""

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


@asynccontextmanager
async def open_reader(bootstrap: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer on all lanes of `topics`, standing at their ends. Raises NoSuchTopic.

    It says OffsetOutOfRangeError, and skips nothing, when it is told to read what is gone.
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
    consumer: AIOKafkaConsumer, lanes: Iterable[tuple[str, int]] | None = None
) -> dict[tuple[str, int], int]:
    """The next offset to be written in each of these lanes, by default all the consumer has.

    Raises KafkaError, also when a broker that goes away makes aiokafka say that we were
    cancelled, which nobody was.
    """
    asked = consumer.assignment() if lanes is None else [TopicPartition(*lane) for lane in lanes]
    try:
        ends = await consumer.end_offsets(list(asked))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise KafkaConnectionError("the broker went away") from error
    return {(tp.topic, tp.partition): end for tp, end in ends.items()}


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a consumer has ceased to fetch or to keep in touch with its group.

    aiokafka tells its log and goes on as if nothing had happened; there is no public way to ask.
    uvloop makes it happen: a write to a connection just lost is a RuntimeError there.
    """
    # Without a group nothing is coordinated.
    coordinating = getattr(consumer._coordinator, "_coordination_task", None)
    tasks = consumer._fetcher._fetch_task, coordinating
    return any(task is not None and task.done() for task in tasks)
