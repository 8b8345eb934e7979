"""How far read models have come in the log, and which of them have come equally far.

Read models at one checkpoint are applied together, in the transaction that moves it. `MAIN` is
where all are that go on without trouble; one that was detached has a checkpoint of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor
from libs.projections.shards import (
    GROUP,
    WHOLE,
    Share,
    StreamKey,
    group_of,
    row_name,
    shard_number,
)

MAIN: Final = "main"


class Overtaken(Exception):
    """Another writer moved the checkpoint: nothing was written; read it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A place in the log, the read models at it (name → version of their code), and what each has
    parked. All of it is of one moment: `batch` changes with any of them. `share` says which streams
    are applied there.
    """

    name: str
    batch: int
    cursor: Cursor
    share: Share = WHOLE
    models: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[str, frozenset[StreamKey]] = field(default_factory=dict)

    def moved(self, cursor: Cursor) -> "Checkpoint":
        """The same, one batch on."""
        return replace(self, batch=self.batch + 1, cursor=cursor)


_COLUMNS: Final = "name, batch, published::text, target::text, after_position, complete"

_GROUP: Final = GROUP.format(name="name")
_OF: Final = GROUP.format(name="$1")

_READ: Final = f"""
SELECT {_COLUMNS},
    (SELECT count(*) FROM projection_checkpoints WHERE {_GROUP} = {_OF}) AS shards,
    (SELECT coalesce(json_agg(json_build_array(p.name, p.version)), '[]')
        FROM projections p WHERE p.checkpoint = {_OF} AND p.state = $2)::text AS models,
    (SELECT coalesce(json_agg(json_build_array(e.projection, e.tenant, e.stream)), '[]')
        FROM parked_events e JOIN projections p ON p.name = e.projection AND p.state = e.state
        WHERE p.checkpoint = {_OF} AND p.state = $2)::text AS parked
FROM projection_checkpoints c WHERE name = $1
"""  # noqa: S608 -- names of columns

_HOLD: Final = """
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

_BEGIN: Final = """
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
    """The checkpoint with the read models at it in that state, None if there is none."""
    row = await connection.fetchrow(_READ, name, state)
    return None if row is None else _checkpoint(row)


async def read_all(connection: Any, name: str, *, state: str = "live") -> list[Checkpoint]:
    """The checkpoints of that name in all shards, in their order."""
    names = sorted(await names_of(connection, [name]), key=shard_number)
    found = [await read(connection, one, state=state) for one in names]
    return [one for one in found if one is not None]


async def lock(connection: Any, *names: str) -> dict[str, list[Checkpoint]]:
    """The checkpoints of those names, of all shards in their order, held until the transaction
    ends. What does not exist is left out; read models and what these have parked are not read.
    """
    # The first shard's row is what holds their number: only then the others are looked up.
    await connection.execute(_HOLD, sorted(names))
    rows = await connection.fetch(_LOCK, sorted(names))
    numbers = Counter(group_of(row["name"]) for row in rows)
    held: dict[str, list[Checkpoint]] = {}
    for row in sorted(rows, key=lambda row: shard_number(row["name"])):
        group = group_of(row["name"])
        share = Share(shard_number(row["name"]), numbers[group])
        held.setdefault(group, []).append(replace(Checkpoint(**_place(row)), share=share))
    return held


async def names_of(connection: Any, groups: Sequence[str]) -> list[str]:
    """The names of the checkpoints of all shards of `groups`."""
    query = f"SELECT name FROM projection_checkpoints WHERE {_GROUP} = ANY($1)"  # noqa: S608
    return [row["name"] for row in await connection.fetch(query, list(groups))]


async def advance(connection: Any, checkpoint: Checkpoint, cursor: Cursor) -> Checkpoint:
    """Hold the row and move it, if it is as `checkpoint` has it. Raises Overtaken if it is not."""
    done = await connection.execute(
        _ADVANCE, checkpoint.name, checkpoint.batch, *_cursor_columns(cursor)
    )
    if done != "UPDATE 1":
        raise Overtaken(f"checkpoint {checkpoint.name} was moved by another worker")
    return checkpoint.moved(cursor)


async def touch(connection: Any, name: str) -> None:
    """Say that something about the checkpoint changed, in all shards: runners read it again.

    It must be held.
    """
    await connection.execute(_TOUCH, name)


async def split(connection: Any, name: str, cursors: Sequence[Cursor]) -> None:
    """Put shards with these places in the stead of those there are, which must be held."""
    # Above all numbers there were: a worker that slept must not take a new row for one it knew.
    batch = await connection.fetchval(_NEXT_BATCH, name)
    await connection.execute(_REMOVE_SHARDS, name)
    for number, cursor in enumerate(cursors):
        statement = _BEGIN if number else _MOVE
        await connection.execute(statement, row_name(name, number), batch, *_cursor_columns(cursor))


async def begin(
    connection: Any,
    name: str,
    cursors: Sequence[Cursor],
    models: Mapping[str, int],
    *,
    state: str = "live",
    because: str | None = None,
) -> None:
    """Make a checkpoint with a place for each shard, and with read models at it that have none."""
    for number, cursor in enumerate(cursors):
        await connection.execute(_BEGIN, row_name(name, number), 0, *_cursor_columns(cursor))
    names, versions = list(models), list(models.values())
    await connection.execute(_REGISTER, names, versions, state, name, because)


async def assign(
    connection: Any, model: str, name: str, *, state: str = "live", because: str | None = None
) -> None:
    """Put a read model at another checkpoint, which must exist."""
    await connection.execute(_ASSIGN, model, state, name, because)


async def remove(connection: Any, name: str) -> None:
    """Delete a checkpoint, of all shards, at which no read model is any more."""
    await connection.execute(f"DELETE FROM projection_checkpoints WHERE {_GROUP} = $1", name)  # noqa: S608


def detached(model: str) -> str:
    """The name of the checkpoint of a detached read model."""
    return f"detached/{model}"


def _cursor_columns(cursor: Cursor) -> tuple[str, str, int, bool]:
    return str(cursor.published), str(cursor.target), cursor.after_position, cursor.complete


def _place(row: Any) -> dict[str, Any]:
    cursor = Cursor(
        published=Snapshot.parse(row["published"]),
        target=Snapshot.parse(row["target"]),
        after_position=row["after_position"],
        complete=row["complete"],
    )
    return {"name": row["name"], "batch": row["batch"], "cursor": cursor}


def _checkpoint(row: Any) -> Checkpoint:
    parked: dict[str, set[StreamKey]] = {}
    for model, tenant, stream in _triples(row["parked"]):
        parked.setdefault(model, set()).add((tenant, stream))
    return Checkpoint(
        **_place(row),
        share=Share(shard_number(row["name"]), row["shards"]),
        models=dict(_pairs(row["models"])),
        parked={model: frozenset(streams) for model, streams in parked.items()},
    )


def _pairs(text: str) -> Sequence[tuple[str, int]]:
    return msgspec.json.decode(text, type=list[tuple[str, int]])


def _triples(text: str) -> Sequence[tuple[str, str, str]]:
    return msgspec.json.decode(text, type=list[tuple[str, str, str]])
