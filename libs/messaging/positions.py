"""The positions of a reaction in topics of other services, stored and moved with its inbox."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from datetime import timedelta
from typing import Any, Final

import msgspec

from libs.messaging.dedup import Chain, Gap, Position, TopicPartition

RETENTION: Final = timedelta(days=120)
"""How long finished messages stay in the inbox: longer than records in any topic."""


class PositionConflict(Exception):
    """Another worker moved the position: the transaction must be rolled back."""


_IN: Final = "(topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))"

_ADD: Final = """
INSERT INTO subscription_positions (reaction, topic, partition, next_offset, began_at)
SELECT $1, topic, partition, began_at, began_at
FROM unnest($2::text[], $3::int[], $4::bigint[]) AS given (topic, partition, began_at)
ORDER BY topic, partition
ON CONFLICT DO NOTHING
"""
_LOCK: Final = f"""
SELECT topic, partition, next_offset, began_at, stopped FROM subscription_positions
WHERE reaction = $1 AND {_IN} ORDER BY topic, partition FOR NO KEY UPDATE
"""  # noqa: S608 -- a constant
_READ: Final = """
SELECT topic, partition, next_offset, began_at, stopped FROM subscription_positions
WHERE reaction = $1 ORDER BY topic, partition
"""
_CHAINS: Final = """
SELECT topic, partition, log_id, incarnation, relay_seq, floor, retired, awaited
FROM subscription_chains WHERE reaction = $1
"""
_MOVE: Final = """
UPDATE subscription_positions AS p
SET next_offset = moved.next_offset, stopped = NULL, changed_at = now()
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[])
    AS moved (topic, partition, old_offset, next_offset)
WHERE p.reaction = $1 AND p.topic = moved.topic AND p.partition = moved.partition
    AND p.next_offset = moved.old_offset
"""
_SAVE_CHAIN: Final = """
INSERT INTO subscription_chains
    (reaction, topic, partition, log_id, incarnation, relay_seq, floor, retired, awaited)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (reaction, topic, partition, log_id, incarnation)
DO UPDATE SET relay_seq = excluded.relay_seq, floor = excluded.floor, retired = excluded.retired,
    awaited = excluded.awaited
"""
_STOP: Final = """
UPDATE subscription_positions SET stopped = $5::text::jsonb
WHERE reaction = $1 AND topic = $2 AND partition = $3 AND next_offset = $4
"""
_SKIP: Final = """
UPDATE subscription_positions SET next_offset = $4, stopped = NULL, changed_at = now()
WHERE reaction = $1 AND topic = $2 AND partition = $3
"""
_RETIRE: Final = """
UPDATE subscription_chains SET retired = true
WHERE reaction = $1 AND topic = $2 AND partition = $3 AND log_id = $4 AND incarnation <> $5
"""
_START_CHAIN: Final = """
INSERT INTO subscription_chains AS chain
    (reaction, topic, partition, log_id, incarnation, relay_seq, floor)
VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 THEN now() - $8::interval END)
ON CONFLICT (reaction, topic, partition, log_id, incarnation)
DO UPDATE SET relay_seq = excluded.relay_seq, retired = false, awaited = false,
    floor = coalesce(excluded.floor, chain.floor)
"""
_AWAIT: Final = """
INSERT INTO subscription_chains
    (reaction, topic, partition, log_id, incarnation, relay_seq, floor, awaited)
SELECT DISTINCT reaction, topic, partition, log_id, $5, 0, now() - $6::interval, true
FROM subscription_chains
WHERE reaction = $1 AND topic = $2 AND partition <> $3 AND log_id = $4
ON CONFLICT DO NOTHING
"""
_AUDIT: Final = """
INSERT INTO subscription_gaps (reaction, topic, partition, kind, log_id, incarnation, from_seq,
    to_seq, from_offset, to_offset, reason, accepted_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_encode = msgspec.json.Encoder().encode
_decode_gap = msgspec.json.Decoder(Gap).decode


async def add(connection: Any, reaction: str, began_at: Mapping[TopicPartition, int]) -> None:
    """Add positions at these offsets; a partition that has a position keeps it."""
    ordered = sorted(began_at)
    await connection.execute(_ADD, reaction, *_columns(ordered), [began_at[at] for at in ordered])


async def lock(
    connection: Any, reaction: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, Position]:
    """Lock the positions, always in the same order, until the transaction ends.

    A missing position is created at offset 0.
    """
    ordered = sorted(partitions)
    rows = await connection.fetch(_LOCK, reaction, *_columns(ordered))
    if len(rows) < len(ordered):
        await add(connection, reaction, dict.fromkeys(ordered, 0))
        rows = await connection.fetch(_LOCK, reaction, *_columns(ordered))
    return await _positions(connection, reaction, rows)


async def read(connection: Any, reaction: str) -> dict[TopicPartition, Position]:
    """All positions of a reaction, without locking them."""
    return await _positions(connection, reaction, await connection.fetch(_READ, reaction))


async def stopped(connection: Any, reaction: str) -> dict[TopicPartition, Gap]:
    """The gaps that block a reaction, by partition."""
    rows = await connection.fetch(_READ, reaction)
    return {
        _partition(row): _decode_gap(row["stopped"]) for row in rows if row["stopped"] is not None
    }


async def save(
    connection: Any,
    reaction: str,
    old: Mapping[TopicPartition, Position],
    new: Mapping[TopicPartition, Position],
) -> None:
    """Compare and set the positions; those that move are no longer stopped.

    Raises PositionConflict if a stored position differs from `old`: then roll back.
    """
    moved = sorted(at for at in new if new[at] != old[at])
    if not moved:
        return
    offsets = [old[at].next_offset for at in moved], [new[at].next_offset for at in moved]
    status = await connection.execute(_MOVE, reaction, *_columns(moved), *offsets)
    if status != f"UPDATE {len(moved)}":
        raise PositionConflict(f"{reaction} was moved by another worker")
    for at in moved:
        await _save_chains(connection, (reaction, *at), old[at], new[at])


async def stop(connection: Any, reaction: str, at: TopicPartition, gap: Gap) -> None:
    """Store the gap that blocks a partition, unless its position was moved meanwhile."""
    await connection.execute(_STOP, reaction, *at, gap.next_offset, _encode(gap).decode())


async def skip(
    connection: Any, reaction: str, at: TopicPartition, *, reason: str, accepted_by: str
) -> Gap | None:
    """Move the position past the gap and record who accepted it. Returns None without a gap.

    A new incarnation of a log retires the previous one, and is then expected in the other
    partitions of the topic, where its numbers start over. Of its events, those recorded longer ago
    than `RETENTION` are skipped, because they may have been handled. Runs in the caller's
    transaction.
    """
    await lock(connection, reaction, [at])
    gap = (await stopped(connection, reaction)).get(at)
    if gap is None:
        return None
    key, link, is_new = (reaction, *at), gap.link, gap.kind == "incarnation"
    labels = link.log_id, link.incarnation
    await connection.execute(_SKIP, *key, gap.offset)
    if is_new:
        await connection.execute(_RETIRE, *key, *labels)
        await connection.execute(_AWAIT, *key, *labels, RETENTION)
    await connection.execute(_START_CHAIN, *key, *labels, link.prev_seq, is_new, RETENTION)
    given = (*gap.numbers, gap.next_offset, gap.offset, reason, accepted_by)
    await connection.execute(_AUDIT, *key, gap.kind, *labels, *given)
    return gap


async def list_gaps(connection: Any) -> Sequence[Mapping[str, Any]]:
    """All accepted gaps, the latest first."""
    query = "SELECT * FROM subscription_gaps ORDER BY accepted_at DESC, id DESC"
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(query)
    return rows


async def list_stopped(connection: Any) -> Sequence[tuple[str, TopicPartition, Gap]]:
    """All gaps that block a reaction: its name, the partition, the gap."""
    rows = await connection.fetch(
        "SELECT reaction, topic, partition, stopped FROM subscription_positions"
        " WHERE stopped IS NOT NULL ORDER BY reaction, topic, partition"
    )
    return [(row["reaction"], _partition(row), _decode_gap(row["stopped"])) for row in rows]


async def _save_chains(
    connection: Any, key: tuple[str, str, int], old: Position, new: Position
) -> None:
    for chain in new.chains:
        if chain not in old.chains:
            await connection.execute(_SAVE_CHAIN, *key, *astuple(chain))


async def _positions(
    connection: Any, reaction: str, rows: Sequence[Any]
) -> dict[TopicPartition, Position]:
    chains: dict[TopicPartition, list[Chain]] = defaultdict(list)
    for row in await connection.fetch(_CHAINS, reaction):
        values = dict(row)
        chains[values.pop("topic"), values.pop("partition")].append(Chain(**values))
    return {
        _partition(row): Position(
            row["next_offset"], row["began_at"], tuple(chains[_partition(row)])
        )
        for row in rows
    }


def _partition(row: Mapping[str, Any]) -> TopicPartition:
    return row["topic"], row["partition"]


def _columns(partitions: Sequence[TopicPartition]) -> tuple[list[str], list[int]]:
    return [topic for topic, _ in partitions], [number for _, number in partitions]
