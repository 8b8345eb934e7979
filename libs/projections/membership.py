"""Membership of the main checkpoint: detaching read models, rejoining them, and resharding.

Whatever moves read models between checkpoints, or changes the number of shards, locks `MAIN` and
applies the few events that are missing in the same transaction.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor, Page, current, read_page
from libs.projections import checkpoints
from libs.projections.apply import Applied, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint, Overtaken
from libs.projections.projection import Projection
from libs.projections.shards import GROUP, group_of, shards_of

Remainder: TypeAlias = list[tuple[Applied, Page]]
"""The pages that were applied to reach another checkpoint."""

LOCKED_SECONDS: Final = 1
"""How long one statement may take while `MAIN` is locked."""
_LIMITS: Final = f"""SET LOCAL statement_timeout = '{LOCKED_SECONDS}s';
SET LOCAL lock_timeout = '{LOCKED_SECONDS}s'"""

_SPLIT_ELSEWHERE: Final = f"""
SELECT DISTINCT p.name || ' (' || p.state || ')' FROM projections p
JOIN projection_checkpoints c ON {GROUP.format(name="c.name")} = p.checkpoint
WHERE p.checkpoint <> $1 AND p.state <> 'previous' AND c.name <> p.checkpoint
"""  # noqa: S608 -- names of columns


class ShardsDiffer(Exception):
    """A detached read model has another number of shards than `MAIN`: it must be rebuilt."""


class NotLevel(Exception):
    """The number of shards cannot be changed now. Nothing was changed."""


async def detach(connection: Any, main: Checkpoint, model: Projection[Any], because: str) -> None:
    """Give a read model checkpoints of its own, at the cursors of the main ones.

    Raises Overtaken if the main checkpoint has changed since `main` was read.
    """
    async with connection.transaction():
        locked = (await checkpoints.lock(connection, MAIN)).get(MAIN, [])
        if not _is_unchanged(main, locked):
            raise Overtaken(f"the main checkpoint was moved while {model.name} was to be detached")
        own = checkpoints.detached(model.name)
        cursors = [locked[shard].cursor for shard in shards_of(model, len(locked))]
        await checkpoints.create(connection, own, cursors, {})
        await checkpoints.assign(connection, model.name, own, because=because)
        await checkpoints.touch(connection, MAIN)


async def rejoin(
    connection: Any,
    model: Projection[Any],
    own: Checkpoint,
    at: Cursor,
    *,
    page: int,
    service: str,
) -> Remainder | None:
    """Move a detached read model back to `MAIN`; None if it cannot rejoin yet.

    Returns what was applied on the way. The main checkpoint is locked at a complete difference in
    every shard, the events up to exactly there are applied, and the read model is assigned to it,
    all in one transaction. `at` is how far the log was read: `own` or further, without an event
    between. No statement may take long, since the other read models wait. Raises Overtaken,
    ShardsDiffer, and what `apply_page` raises.
    """
    group = group_of(own.name)
    async with connection.transaction():
        await connection.execute(_LIMITS)
        locked = await checkpoints.lock(connection, MAIN, group)
        shards, mains = locked.get(group, []), locked.get(MAIN, [])
        if not _is_unchanged(own, shards):
            raise Overtaken(f"checkpoint {own.name} was moved by another worker")
        numbers = shards_of(model, len(mains)) if mains else []
        if not numbers or await _was_split(connection, group, shards, len(numbers)):
            return None
        targets = [mains[number].cursor for number in numbers]
        apply_up_to = partial(_apply_up_to, connection, [model], page=page, service=service)
        applied = await _apply_missing(connection, own, at, shards, targets, apply_up_to)
        if applied is None:
            return None
        await checkpoints.assign(connection, model.name, MAIN)
        await checkpoints.remove(connection, group)
        await checkpoints.touch(connection, MAIN)
    return applied


async def _apply_missing(
    connection: Any,
    own: Checkpoint,
    at: Cursor,
    shards: Sequence[Checkpoint],
    targets: Sequence[Cursor],
    apply_up_to: Callable[[Checkpoint, Cursor, Snapshot], Awaitable[Remainder | None]],
) -> Remainder | None:
    """Apply what each shard lacks; None if a target is incomplete or more than a page away."""
    applied: Remainder = []
    for locked, target in zip(shards, targets, strict=True):
        if not target.complete:
            return None
        shard, start = own, at
        if locked.name != own.name:
            # Read again, with the streams that the other shard has parked.
            shard = await checkpoints.read(connection, locked.name) or locked
            start = shard.cursor
        remainder = await apply_up_to(shard, start, target.target)
        if remainder is None:
            return None
        applied += remainder
    return applied


async def reshard(
    connection: Any,
    models: Mapping[str, Projection[Any]],
    number: int,
    *,
    page: int,
    service: str,
) -> None:
    """Change the number of shards, if all shards are level, or within a page of it.

    A single shard may be split at any time. Raises NotLevel, and what `apply_page` raises.
    """
    async with connection.transaction():
        await connection.execute(_LIMITS)
        shards = (await checkpoints.lock(connection, MAIN)).get(MAIN, [])
        if len(shards) in (0, number):
            return
        if elsewhere := await connection.fetch(_SPLIT_ELSEWHERE, MAIN):
            raise NotLevel(f"detached or being rebuilt: {', '.join(row[0] for row in elsewhere)}")
        cursor = shards[0].cursor
        if len(shards) > 1:
            cursor = await _level(connection, models, page, service)
        await checkpoints.split(connection, MAIN, [cursor] * number)


async def _level(
    connection: Any,
    models: Mapping[str, Projection[Any]],
    page: int,
    service: str,
) -> Cursor:
    """Bring all shards of `MAIN` to the present moment."""
    moment = await current(connection)
    for shard in await checkpoints.read_all(connection, MAIN):
        if any(models[n].version != v for n, v in shard.models.items() if n in models):
            raise NotLevel("a read model is of another version")
        if missing := shard.models.keys() - models.keys():
            raise NotLevel(f"this worker does not have {', '.join(sorted(missing))}")
        ours = [models[name] for name in sorted(shard.models)]
        remainder = await _apply_up_to(
            connection, ours, shard, shard.cursor, moment, page=page, service=service
        )
        if remainder is None:
            raise NotLevel(f"{shard.name} is behind")
    return Cursor(published=moment, target=moment)


async def _apply_up_to(
    connection: Any,
    models: Sequence[Projection[Any]],
    checkpoint: Checkpoint,
    start: Cursor,
    target: Snapshot,
    *,
    page: int,
    service: str,
) -> Remainder | None:
    """Apply the events from `start` to `target` if they are one page at most; else None."""
    if not start.complete:
        return None
    if not target.covers(start.target):
        return [] if await _nothing_between(connection, target, start.target) else None
    rest = await read_page(connection, start, limit=page, until=target)
    if not rest.cursor.complete:
        return None
    if not rest.events:
        return []
    return [(await apply_page(connection, models, checkpoint, rest, service=service), rest)]


def _is_unchanged(checkpoint: Checkpoint, locked: Sequence[Checkpoint]) -> bool:
    return (checkpoint.name, checkpoint.batch) in [(one.name, one.batch) for one in locked]


async def _was_split(
    connection: Any, group: str, shards: Sequence[Checkpoint], number: int
) -> bool:
    """Split a read model that began with one shard into `number`; False if it has them already."""
    if len(shards) == number:
        return False
    if len(shards) != 1:
        raise ShardsDiffer(f"{group} has {len(shards)} shards, the others have {number}")
    await checkpoints.split(connection, group, [shards[0].cursor] * number)
    return True


async def _nothing_between(connection: Any, earlier: Snapshot, later: Snapshot) -> bool:
    """Whether no event became visible between two moments."""
    if not later.covers(earlier):
        return False
    between = Cursor(published=earlier, target=earlier)
    return not (await read_page(connection, between, limit=1, until=later)).events
