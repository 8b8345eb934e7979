"""How far a projection has come, locked and moved in the read model's own transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.eventsourcing.snapshot import NOTHING, Snapshot
from libs.messaging.publisher import Lane


class Overtaken(Exception):
    """Somebody else moved the checkpoint: what was done in this transaction must not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The place of one generation of a projection in one partition.

    `relay_seq` is the last number applied, None before the first record. What `base` sees was
    rebuilt from the log and is not applied again.
    """

    generation: int
    next_offset: int
    relay_seq: int | None
    base: Snapshot = NOTHING


_LOCK: Final = """
SELECT c.topic, c.partition, c.generation, c.next_offset, c.relay_seq, g.base::text
FROM generations g JOIN checkpoints c USING (projection, generation)
WHERE g.projection = $1 AND g.state = $2
    AND (c.topic, c.partition) IN (SELECT * FROM unnest($3::text[], $4::int[]))
ORDER BY c.topic, c.partition
FOR NO KEY UPDATE OF c FOR SHARE OF g
"""

_READ: Final = """
SELECT c.topic, c.partition, c.generation, c.next_offset, c.relay_seq, g.base::text
FROM generations g JOIN checkpoints c USING (projection, generation)
WHERE g.projection = $1 AND g.state = $2
"""

_BEGIN_GENERATION: Final = """
INSERT INTO generations (projection, generation, state)
SELECT $1, coalesce(max(generation), 0) + 1, 'live' FROM generations WHERE projection = $1
HAVING count(*) FILTER (WHERE state = 'live') = 0
ON CONFLICT DO NOTHING
"""

_BEGIN: Final = """
INSERT INTO checkpoints (projection, generation, topic, partition, next_offset)
SELECT g.projection, g.generation, lane.topic, lane.partition, 0
FROM generations g, unnest($3::text[], $4::int[]) AS lane (topic, partition)
WHERE g.projection = $1 AND g.state = $2
ORDER BY lane.topic, lane.partition
ON CONFLICT DO NOTHING
"""

_MOVE: Final = """
UPDATE checkpoints c
SET next_offset = moved.next_offset, relay_seq = moved.relay_seq, changed_at = now()
FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS moved (topic, partition, old_offset, next_offset, relay_seq)
WHERE c.projection = $1 AND c.generation = $2 AND c.topic = moved.topic
    AND c.partition = moved.partition AND c.next_offset = moved.old_offset
"""


async def lock(
    connection: Any, projection: str, lanes: Iterable[Lane], *, state: str = "live"
) -> dict[Lane, Checkpoint]:
    """The checkpoints of `lanes`, locked until the transaction ends, made where they are missing.

    Lanes are locked in one order by everybody. A generation being switched is waited for.
    """
    ordered = sorted(lanes)
    topics, partitions = [topic for topic, _ in ordered], [partition for _, partition in ordered]
    for _ in range(3):
        rows = await connection.fetch(_LOCK, projection, state, topics, partitions)
        if len(rows) == len(ordered):
            return _checkpoints(rows)
        await connection.execute(_BEGIN_GENERATION, projection)
        await connection.execute(_BEGIN, projection, state, topics, partitions)
    raise Overtaken(f"the checkpoints of {projection} cannot be had")


async def read(connection: Any, projection: str, *, state: str = "live") -> dict[Lane, Checkpoint]:
    """The checkpoints as they stand, unlocked."""
    return _checkpoints(await connection.fetch(_READ, projection, state))


async def move(
    connection: Any,
    projection: str,
    old: Mapping[Lane, Checkpoint],
    new: Mapping[Lane, Checkpoint],
) -> None:
    """Compare and set. Raises Overtaken if any checkpoint is not where `old` says."""
    lanes = sorted(new)
    if not lanes:
        return
    done = await connection.execute(
        _MOVE,
        projection,
        new[lanes[0]].generation,
        [topic for topic, _ in lanes],
        [partition for _, partition in lanes],
        [old[lane].next_offset for lane in lanes],
        [new[lane].next_offset for lane in lanes],
        [new[lane].relay_seq for lane in lanes],
    )
    if done != f"UPDATE {len(lanes)}":
        raise Overtaken(f"{projection} was moved by another projector")


def _checkpoints(rows: Sequence[Any]) -> dict[Lane, Checkpoint]:
    return {
        (row["topic"], row["partition"]): Checkpoint(
            generation=row["generation"],
            next_offset=row["next_offset"],
            relay_seq=row["relay_seq"],
            base=Snapshot.parse(row["base"]) if row["base"] else NOTHING,
        )
        for row in rows
    }
