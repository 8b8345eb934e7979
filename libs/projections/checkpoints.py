"""How far read models have come in the log, and which of them have come equally far.

Read models at one checkpoint are applied together, in the transaction that moves it. `MAIN` is
where all are that go on without trouble; one that was detached has a checkpoint of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import msgspec

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor

MAIN: Final = "main"

StreamKey: TypeAlias = tuple[str, str]
"""Tenant and stream."""


class Overtaken(Exception):
    """Another writer moved the checkpoint: nothing was written; read it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A place in the log, the read models at it (name → version of their code), and what each has
    parked. All three are of one moment: `batch` changes with any of them.
    """

    name: str
    batch: int
    cursor: Cursor
    models: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[str, frozenset[StreamKey]] = field(default_factory=dict)

    def moved(self, cursor: Cursor) -> "Checkpoint":
        """The same, one batch on."""
        return replace(self, batch=self.batch + 1, cursor=cursor)


_COLUMNS: Final = "name, batch, published::text, target::text, after_position, complete"

_READ: Final = f"""
SELECT {_COLUMNS},
    (SELECT coalesce(json_agg(json_build_array(p.name, p.version)), '[]')
        FROM projections p WHERE p.checkpoint = c.name AND p.state = $2)::text AS models,
    (SELECT coalesce(json_agg(json_build_array(e.projection, e.tenant, e.stream)), '[]')
        FROM parked_events e JOIN projections p ON p.name = e.projection AND p.state = e.state
        WHERE p.checkpoint = c.name AND p.state = $2)::text AS parked
FROM projection_checkpoints c WHERE name = $1
"""  # noqa: S608 -- names of columns

_LOCK: Final = f"""
SELECT {_COLUMNS} FROM projection_checkpoints WHERE name = ANY($1) ORDER BY name FOR UPDATE
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


async def lock(connection: Any, *names: str) -> dict[str, Checkpoint]:
    """The checkpoints of those names that exist, held until the transaction ends.

    Their read models and what these have parked are not read.
    """
    rows = await connection.fetch(_LOCK, sorted(names))
    return {row["name"]: Checkpoint(**_place(row)) for row in rows}


async def advance(connection: Any, checkpoint: Checkpoint, cursor: Cursor) -> Checkpoint:
    """Hold the row and move it, if it is as `checkpoint` has it. Raises Overtaken if it is not."""
    done = await connection.execute(
        _ADVANCE, checkpoint.name, checkpoint.batch, *_cursor_columns(cursor)
    )
    if done != "UPDATE 1":
        raise Overtaken(f"checkpoint {checkpoint.name} was moved by another worker")
    return checkpoint.moved(cursor)


async def touch(connection: Any, name: str) -> None:
    """Say that something about the checkpoint changed: its runner reads it again."""
    await connection.execute(
        "UPDATE projection_checkpoints SET batch = batch + 1, changed_at = now() WHERE name = $1",
        name,
    )


async def begin(
    connection: Any,
    name: str,
    cursor: Cursor,
    models: Mapping[str, int],
    *,
    state: str = "live",
    because: str | None = None,
) -> None:
    """Make a checkpoint, with read models at it that have none."""
    await connection.execute(_BEGIN, name, 0, *_cursor_columns(cursor))
    names, versions = list(models), list(models.values())
    await connection.execute(_REGISTER, names, versions, state, name, because)


async def assign(
    connection: Any, model: str, name: str, *, state: str = "live", because: str | None = None
) -> None:
    """Put a read model at another checkpoint, which must exist."""
    await connection.execute(_ASSIGN, model, state, name, because)


async def remove(connection: Any, name: str) -> None:
    """Delete a checkpoint at which no read model is any more."""
    await connection.execute("DELETE FROM projection_checkpoints WHERE name = $1", name)


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
        models=dict(_pairs(row["models"])),
        parked={model: frozenset(streams) for model, streams in parked.items()},
    )


def _pairs(text: str) -> Sequence[tuple[str, int]]:
    return msgspec.json.decode(text, type=list[tuple[str, int]])


def _triples(text: str) -> Sequence[tuple[str, str, str]]:
    return msgspec.json.decode(text, type=list[tuple[str, str, str]])
