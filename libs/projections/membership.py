"""Which read models go on together: detaching one from the others, and letting it rejoin them."""

from collections.abc import Sequence
from typing import Any, Final

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor, Page, read_page
from libs.projections import checkpoints
from libs.projections.apply import Applied, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint, Overtaken
from libs.projections.projection import Projection

REJOIN_SECONDS: Final = 1
"""How long one statement may take while the others wait."""
_LIMITS: Final = f"""SET LOCAL statement_timeout = '{REJOIN_SECONDS}s';
SET LOCAL lock_timeout = '{REJOIN_SECONDS}s'"""


async def detach(connection: Any, main: Checkpoint, model: str, because: str) -> None:
    """Give a read model a checkpoint of its own, at the place where the main one is.

    Raises Overtaken if the main checkpoint is not as `main` has it any more.
    """
    async with connection.transaction():
        held = (await checkpoints.lock(connection, MAIN)).get(MAIN)
        if held is None or held.batch != main.batch:
            raise Overtaken(f"the main checkpoint was moved while {model} was to be detached")
        own = checkpoints.detached(model)
        await checkpoints.begin(connection, own, held.cursor, {})
        await checkpoints.assign(connection, model, own, because=because)
        await checkpoints.touch(connection, MAIN)


async def rejoin(
    connection: Any,
    models: Sequence[Projection[Any]],
    own: Checkpoint,
    at: Cursor,
    *,
    page: int,
    service: str,
) -> Sequence[tuple[Applied, Page]] | None:
    """Put the read models of a detached checkpoint back to the main one; None if they must wait.

    Answers what was applied on the way. The main checkpoint is held at a complete difference, what
    is left up to exactly there is applied, and both rows become one, all in one transaction. `at`
    is as far as the log was read: `own` or further, without an event between. No statement may take
    long, for the others wait. Raises Overtaken, and what `apply_page` raises.
    """
    done: list[tuple[Applied, Page]] = []
    async with connection.transaction():
        await connection.execute(_LIMITS)
        held = await checkpoints.lock(connection, MAIN, own.name)
        if own.name not in held or held[own.name].batch != own.batch:
            raise Overtaken(f"checkpoint {own.name} was moved by another worker")
        main = held.get(MAIN)
        if main is None or not main.cursor.complete:
            return None
        target = main.cursor.target
        if target.covers(at.target):
            rest = await read_page(connection, at, limit=page, until=target)
            if not rest.cursor.complete:
                return None
            if rest.events:
                applied = await apply_page(connection, models, own, rest, service=service)
                done.append((applied, rest))
        elif not await _nothing_between(connection, target, at.target):
            return None
        for model in models:
            await checkpoints.assign(connection, model.name, MAIN)
        await checkpoints.remove(connection, own.name)
        await checkpoints.touch(connection, MAIN)
    return done


async def _nothing_between(connection: Any, earlier: Snapshot, later: Snapshot) -> bool:
    """Whether no event became visible from one moment to a later one."""
    if not later.covers(earlier):
        return False
    between = Cursor(published=earlier, target=earlier)
    return not (await read_page(connection, between, limit=1, until=later)).events
