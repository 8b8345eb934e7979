"""Where a reaction begins to read that never read: at what the topics still hold."""

from collections.abc import Sequence

import asyncpg
from aiokafka import TopicPartition

from libs.messaging import positions
from libs.messaging.reader import end_offsets, open_reader


async def ensure_start(
    pool: asyncpg.Pool, reaction: str, topics: Sequence[str], bootstrap: str
) -> None:
    """Give a reaction a position in every topic it does not read yet. Safe to repeat.

    Raises NoSuchTopic, KafkaError, and what the pool raises.
    """
    async with pool.acquire() as connection:
        known = {topic for topic, _ in await positions.read(connection, reaction)}
    new = [topic for topic in topics if topic not in known]
    if not new:
        return
    async with open_reader(bootstrap, new) as consumer:
        partitions = [TopicPartition(*at) for at in await end_offsets(consumer)]
        offsets = await consumer.beginning_offsets(partitions)
    firsts = {(at.topic, at.partition): offset for at, offset in offsets.items()}
    async with pool.acquire() as connection:
        await positions.add(connection, reaction, firsts)
