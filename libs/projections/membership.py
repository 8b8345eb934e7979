"""Which read models go on together: detaching one from the others, and letting it rejoin them."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor, Page, read_page
from libs.projections import checkpoints
from libs.projections.apply import Applied, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint, Overtaken
from libs.projections.projection import Projection
from libs.projections.shards import group_of, shards_of

Rest: TypeAlias = list[tuple[Applied, Page]]
"""What was applied to become level."""

REJOIN_SECONDS: Final = 1
"""How long one statement may take while the others wait."""
LIMITS: Final = f"""SET LOCAL statement_timeout = '{REJOIN_SECONDS}s';
SET LOCAL lock_timeout = '{REJOIN_SECONDS}s'"""


class ShardsDiffer(Exception):
    """A read model was split otherwise than the others: it must be rebuilt."""


async def detach(connection: Any, main: Checkpoint, model: Projection[Any], because: str) -> None:
    """Give a read model a checkpoint of its own, in its shards at the places of the main one.

    Raises Overtaken if the main checkpoint is not as `main` has it any more.
    """
    async with connection.transaction():
        held = (await checkpoints.lock(connection, MAIN)).get(MAIN, [])
        if not _is_among(main, held):
            raise Overtaken(f"the main checkpoint was moved while {model.name} was to be detached")
        own = checkpoints.detached(model.name)
        cursors = [held[shard].cursor for shard in shards_of(model, len(held))]
        await checkpoints.begin(connection, own, cursors, {})
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
) -> Rest | None:
    """Put a detached read model back to the others; None if it must wait.

    Answers what was applied on the way. The main checkpoint is held at a complete difference, in
    each shard, what is left up to exactly there is applied, and both become one, all in one
    transaction. `at` is as far as the log was read: `own` or further, without an event between. No
    statement may take long, for the others wait. Raises Overtaken, ShardsDiffer, and what
    `apply_page` raises.
    """
    done: Rest = []
    group = group_of(own.name)
    async with connection.transaction():
        await connection.execute(LIMITS)
        held = await checkpoints.lock(connection, MAIN, group)
        places, mains = held.get(group, []), held.get(MAIN, [])
        if not _is_among(own, places):
            raise Overtaken(f"checkpoint {own.name} was moved by another worker")
        shards = shards_of(model, len(mains)) if mains else []
        if not shards or await _was_split(connection, group, places, len(shards)):
            return None
        for place, shard in zip(places, shards, strict=True):
            ours, start = own, at
            if place.name != own.name:
                # Of another shard, too, streams may be parked.
                ours = await checkpoints.read(connection, place.name) or place
                start = ours.cursor
            goal = mains[shard].cursor
            if not goal.complete:
                return None
            rest = await apply_up_to(
                connection, [model], ours, start, goal.target, page=page, service=service
            )
            if rest is None:
                return None
            done += rest
        await checkpoints.assign(connection, model.name, MAIN)
        await checkpoints.remove(connection, group)
        await checkpoints.touch(connection, MAIN)
    return done


async def apply_up_to(
    connection: Any,
    models: Sequence[Projection[Any]],
    place: Checkpoint,
    start: Cursor,
    target: Snapshot,
    *,
    page: int,
    service: str,
) -> Rest | None:
    """Apply what is left from `start` up to `target`, if it is one page; None if it is more."""
    if not start.complete:
        return None
    if not target.covers(start.target):
        return [] if await _nothing_between(connection, target, start.target) else None
    rest = await read_page(connection, start, limit=page, until=target)
    if not rest.cursor.complete:
        return None
    if not rest.events:
        return []
    return [(await apply_page(connection, models, place, rest, service=service), rest)]


def _is_among(place: Checkpoint, held: Sequence[Checkpoint]) -> bool:
    return (place.name, place.batch) in [(one.name, one.batch) for one in held]


async def _was_split(
    connection: Any, group: str, places: Sequence[Checkpoint], number: int
) -> bool:
    """Split a read model that began with one shard like the others; whether that was due."""
    if len(places) == number:
        return False
    if len(places) != 1:
        raise ShardsDiffer(f"{group} has {len(places)} shards, the others have {number}")
    await checkpoints.split(connection, group, [places[0].cursor] * number)
    return True


async def _nothing_between(connection: Any, earlier: Snapshot, later: Snapshot) -> bool:
    """Whether no event became visible from one moment to a later one."""
    if not later.covers(earlier):
        return False
    between = Cursor(published=earlier, target=earlier)
    return not (await read_page(connection, between, limit=1, until=later)).events
