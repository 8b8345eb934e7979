"""Checkpoints: how far in the log read models are applied.

The read models at one checkpoint are applied together, in the transaction that moves it. Healthy
read models share the checkpoint `MAIN`; a detached one has a checkpoint of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from libs.eventsourcing.tail import Cursor
from libs.projections.shards import (
    GROUP,
    ONLY_SHARD,
    Shard,
    StreamKey,
    group_of,
    row_name,
    shard_number,
)

MAIN: Final = "main"


class Overtaken(Exception):
    """Another writer moved the checkpoint. Nothing was written; read it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A position in the log, the read models at it and the streams each of them has parked.

    `models` maps a read model to the version of its code. `batch` changes whenever any of this
    changes. `shard` is the shard whose streams are applied at this checkpoint.
    """

    name: str
    batch: int
    cursor: Cursor
    shard: Shard = ONLY_SHARD
    models: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[str, frozenset[StreamKey]] = field(default_factory=dict)

    def moved(self, cursor: Cursor) -> "Checkpoint":
        """The checkpoint one batch later."""
        return replace(self, batch=self.batch + 1, cursor=cursor)


_COLUMNS: Final = "name, batch, published::text, target::text, after_position, complete"

_GROUP: Final = GROUP.format(name="name")
_GROUP_OF_NAME: Final = GROUP.format(name="$1")

_READ: Final = f"""
SELECT {_COLUMNS},
    (SELECT count(*) FROM projection_checkpoints WHERE {_GROUP} = {_GROUP_OF_NAME}) AS shards,
    (SELECT coalesce(json_agg(json_build_array(p.name, p.version)), '[]')
        FROM projections p WHERE p.checkpoint = {_GROUP_OF_NAME} AND p.state = $2)::text AS models,
    (SELECT coalesce(json_agg(json_build_array(e.projection, e.tenant, e.stream)), '[]')
        FROM parked_events e JOIN projections p ON p.name = e.projection AND p.state = e.state
        WHERE p.checkpoint = {_GROUP_OF_NAME} AND p.state = $2)::text AS parked
FROM projection_checkpoints c WHERE name = $1
"""  # noqa: S608 -- names of columns

_LOCK_FIRST: Final = """
SELECT FROM projection_checkpoints WHERE name = ANY($1) ORDER BY name FOR UPDATE
"""

_LOCK: Final = f"""
SELECT {_COLUMNS}, 0 AS shards FROM projection_checkpoints WHERE {_GROUP} = ANY($1)
ORDER BY name FOR UPDATE
"""  # noqa: S608

_ADVANCE: Final = """
UPDATE projection_checkpoints SET batch = batch + 1, published = $3::text::pg_snapshot,
    target = $4::text::pg_snapshot, after_position = $5, complete = $6, changed_at = now()
WHERE name = $1 AND batch = $2
"""

_CREATE: Final = """
INSERT INTO projection_checkpoints
    (name, batch, published, target, after_position, complete)
VALUES ($1, $2, $3::text::pg_snapshot, $4::text::pg_snapshot, $5, $6)
"""

_TOUCH: Final = f"""
UPDATE projection_checkpoints SET batch = batch + 1, changed_at = now() WHERE {_GROUP} = $1
"""  # noqa: S608

_REMOVE_SHARDS: Final = f"""
DELETE FROM projection_checkpoints WHERE {_GROUP} = $1 AND name <> $1
"""  # noqa: S608

_NEXT_BATCH: Final = f"SELECT max(batch) + 1 FROM projection_checkpoints WHERE {_GROUP} = $1"  # noqa: S608

_MOVE: Final = """
UPDATE projection_checkpoints SET batch = $2, published = $3::text::pg_snapshot,
    target = $4::text::pg_snapshot, after_position = $5, complete = $6, changed_at = now()
WHERE name = $1
"""

_REGISTER: Final = """
INSERT INTO projections (name, state, version, checkpoint, detached_because)
SELECT name, $3, version, $4, $5 FROM unnest($1::text[], $2::int[]) AS given (name, version)
"""

_ASSIGN: Final = """
UPDATE projections SET checkpoint = $3, detached_because = $4, changed_at = now()
WHERE name = $1 AND state = $2
"""


async def read(connection: Any, name: str, *, state: str = "live") -> Checkpoint | None:
    """The checkpoint with its read models in `state`; None if it does not exist."""
    row = await connection.fetchrow(_READ, name, state)
    return None if row is None else _checkpoint(row)


async def read_all(connection: Any, group: str, *, state: str = "live") -> list[Checkpoint]:
    """The checkpoints of all shards of a group, by number."""
    names = sorted(await names_of(connection, [group]), key=shard_number)
    shards = [await read(connection, name, state=state) for name in names]
    return [shard for shard in shards if shard is not None]


async def lock(connection: Any, *groups: str) -> dict[str, list[Checkpoint]]:
    """Lock the checkpoints of groups until the transaction ends; those of all shards, by number.

    Groups that do not exist are left out. The read models and parked streams are not read.
    """
    # Locking the first shard's row fixes the number of shards; then the others can be looked up.
    await connection.execute(_LOCK_FIRST, sorted(groups))
    rows = await connection.fetch(_LOCK, sorted(groups))
    counts = Counter(group_of(row["name"]) for row in rows)
    locked: dict[str, list[Checkpoint]] = {}
    for row in sorted(rows, key=lambda row: shard_number(row["name"])):
        group = group_of(row["name"])
        shard = Shard(shard_number(row["name"]), counts[group])
        locked.setdefault(group, []).append(replace(Checkpoint(**_row_fields(row)), shard=shard))
    return locked


async def names_of(connection: Any, groups: Sequence[str]) -> list[str]:
    """The names of the checkpoints of all shards of `groups`."""
    query = f"SELECT name FROM projection_checkpoints WHERE {_GROUP} = ANY($1)"  # noqa: S608
    return [row["name"] for row in await connection.fetch(query, list(groups))]


async def advance(connection: Any, checkpoint: Checkpoint, cursor: Cursor) -> Checkpoint:
    """Compare and set: lock the row and move it to `cursor`. Raises Overtaken."""
    done = await connection.execute(
        _ADVANCE, checkpoint.name, checkpoint.batch, *_cursor_columns(cursor)
    )
    if done != "UPDATE 1":
        raise Overtaken(f"checkpoint {checkpoint.name} was moved by another worker")
    return checkpoint.moved(cursor)


async def touch(connection: Any, group: str) -> None:
    """Mark the group's checkpoints as changed, so that runners read them again.

    They must be locked.
    """
    await connection.execute(_TOUCH, group)


async def split(connection: Any, group: str, cursors: Sequence[Cursor]) -> None:
    """Replace the group's shards, which must be locked, by one for each cursor."""
    # Above all earlier batches: a worker that slept must not take a new row for one it knew.
    batch = await connection.fetchval(_NEXT_BATCH, group)
    await connection.execute(_REMOVE_SHARDS, group)
    for number, cursor in enumerate(cursors):
        statement = _CREATE if number else _MOVE
        await connection.execute(
            statement, row_name(group, number), batch, *_cursor_columns(cursor)
        )


async def create(
    connection: Any,
    group: str,
    cursors: Sequence[Cursor],
    models: Mapping[str, int],
    *,
    state: str = "live",
    because: str | None = None,
) -> None:
    """Create a checkpoint for each cursor, a shard each, and register new read models at it."""
    for number, cursor in enumerate(cursors):
        await connection.execute(_CREATE, row_name(group, number), 0, *_cursor_columns(cursor))
    names, versions = list(models), list(models.values())
    await connection.execute(_REGISTER, names, versions, state, group, because)


async def assign(
    connection: Any, model: str, group: str, *, state: str = "live", because: str | None = None
) -> None:
    """Move a read model to other checkpoints, which must exist."""
    await connection.execute(_ASSIGN, model, state, group, because)


async def remove(connection: Any, group: str) -> None:
    """Delete the group's checkpoints, at which no read model may be."""
    await connection.execute(f"DELETE FROM projection_checkpoints WHERE {_GROUP} = $1", group)  # noqa: S608


def detached(model: str) -> str:
    """The name of the checkpoints of a detached read model."""
    return f"detached/{model}"


def _cursor_columns(cursor: Cursor) -> tuple[str, str, int, bool]:
    return str(cursor.published), str(cursor.target), cursor.after_position, cursor.complete


def _row_fields(row: Any) -> dict[str, Any]:
    return {"name": row["name"], "batch": row["batch"], "cursor": Cursor.of(row)}


def _checkpoint(row: Any) -> Checkpoint:
    parked: dict[str, set[StreamKey]] = {}
    for model, tenant, stream in _decode_triples(row["parked"]):
        parked.setdefault(model, set()).add((tenant, stream))
    return Checkpoint(
        **_row_fields(row),
        shard=Shard(shard_number(row["name"]), row["shards"]),
        models=dict(_decode_pairs(row["models"])),
        parked={model: frozenset(streams) for model, streams in parked.items()},
    )


def _decode_pairs(text: str) -> Sequence[tuple[str, int]]:
    return msgspec.json.decode(text, type=list[tuple[str, int]])


def _decode_triples(text: str) -> Sequence[tuple[str, str, str]]:
    return msgspec.json.decode(text, type=list[tuple[str, str, str]])
