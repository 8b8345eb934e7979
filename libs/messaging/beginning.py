"""Where somebody begins to read who never read: at what topics still hold, not at what they held.

A read model's own service has the log to rebuild from, so that a hole at the beginning is a fault
there. Who listens to another service hears what that still says.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg
from aiokafka import TopicPartition

from libs.eventsourcing.snapshot import Snapshot
from libs.messaging import checkpoints
from libs.messaging.reader import ends_of, open_reader

MIDDLE: Final = Snapshot(2, 2)
"""A base that sees nothing anybody wrote, and says that the chain does not begin at its start."""

_SAY_SO: Final = """
UPDATE generations SET base = $2::text::pg_snapshot
WHERE projection = $1 AND state = 'live' AND base IS NULL
"""
_GO: Final = """
UPDATE checkpoints SET next_offset = $5
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4
"""


async def begin(pool: asyncpg.Pool, name: str, topics: Sequence[str], bootstrap: str) -> None:
    """Let the reader called `name` begin; nothing if it has begun. Safe to repeat.

    Raises NoSuchTopic, KafkaError, and what the pool raises.
    """
    async with pool.acquire() as connection:
        if await checkpoints.read(connection, name):
            return
    async with open_reader(bootstrap, topics) as consumer:
        lanes = [TopicPartition(*lane) for lane in await ends_of(consumer)]
        offsets = await consumer.beginning_offsets(lanes)
    firsts = {(lane.topic, lane.partition): offset for lane, offset in offsets.items()}
    async with pool.acquire() as connection, connection.transaction():
        places = await checkpoints.lock(connection, name, firsts)
        begun = any(place.next_offset or place.relay_seq is not None for place in places.values())
        if begun or not any(firsts.values()):
            return
        await connection.execute(_SAY_SO, name, str(MIDDLE))
        moves = [(name, places[lane].generation, *lane, first) for lane, first in firsts.items()]
        await connection.executemany(_GO, moves)
