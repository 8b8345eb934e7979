"""Kafka consumers without a group, and what to do with a consumer that is dead."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from libs.messaging.topics import MAX_MESSAGE_BYTES

REQUEST_MS: Final = 10_000
CLOSE_SECONDS: Final = 5.0


class NoSuchTopic(Exception):
    """One of the topics does not exist. Declare it and run the topics command."""


class ConsumerDied(Exception):
    """The consumer has stopped working; a new one takes its place."""


@asynccontextmanager
async def open_reader(
    bootstrap: str,
    topics: Sequence[str],
    *,
    reset: Literal["none", "earliest"] = "none",
    max_wait_ms: int = 50,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all partitions of `topics`, positioned at their ends. Raises NoSuchTopic.

    Reading at an offset that is gone raises OffsetOutOfRangeError and skips nothing, or goes on at
    the earliest offset. The broker answers a fetch of an idle topic after `max_wait_ms`.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset=reset,
        request_timeout_ms=REQUEST_MS,
        fetch_max_wait_ms=max_wait_ms,
        max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
    )
    try:
        await consumer.start()
        for partition, end in (await end_offsets(consumer)).items():
            consumer.seek(partition, end)
        yield consumer
    except UnknownTopicOrPartitionError as error:
        raise NoSuchTopic(", ".join(topics)) from error
    finally:
        if not await _closes_cleanly(consumer.stop()):
            # A dead consumer raises its error again.
            await close_parts(consumer)


async def end_offsets(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """The end offset of each partition that the consumer has.

    Raises KafkaError, also where aiokafka raises CancelledError because the broker went away,
    TimeoutError, and ConsumerDied if there are none.
    """
    async with asyncio.timeout(REQUEST_MS / 1000):
        try:
            ends: dict[TopicPartition, int] = await consumer.end_offsets([*consumer.assignment()])
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise KafkaConnectionError("the broker went away") from error
    if not ends:
        raise ConsumerDied("there are no partitions")
    return ends


def is_dead(consumer: AIOKafkaConsumer) -> bool:
    """Whether a consumer has stopped fetching, or stopped sending heartbeats to its group.

    aiokafka only logs this and has no public way to find out. It happens with uvloop, where a
    write to a connection just lost raises RuntimeError.
    """
    # A consumer without a group has no coordination task.
    coordinating = getattr(consumer._coordinator, "_coordination_task", None)
    tasks = consumer._fetcher._fetch_task, coordinating
    return any(task is not None and task.done() for task in tasks)


async def close_parts(consumer: AIOKafkaConsumer | None) -> None:
    """Close the connections that a dead consumer leaves open."""
    for part in filter(None, (consumer._fetcher, consumer._client)) if consumer else ():
        await _closes_cleanly(part.close())


async def _closes_cleanly(closing: Coroutine[Any, Any, None]) -> bool:
    """Whether `closing` returns within `CLOSE_SECONDS` without an error.

    It runs in a task of its own, so that its CancelledError does not cancel this task.
    """
    task = asyncio.ensure_future(closing)
    await asyncio.wait([task], timeout=CLOSE_SECONDS)
    if not task.done():
        task.cancel()
        return False
    return not task.cancelled() and task.exception() is None
