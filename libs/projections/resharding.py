"""Changing the number of shards: all are brought to one place, which the new ones begin at."""

from collections.abc import Mapping
from typing import Any, Final

from libs.eventsourcing.tail import Cursor, current
from libs.projections import checkpoints
from libs.projections.checkpoints import MAIN
from libs.projections.membership import LIMITS, apply_up_to
from libs.projections.projection import Projection
from libs.projections.shards import GROUP

_SPLIT_ELSEWHERE: Final = f"""
SELECT DISTINCT p.name || ' (' || p.state || ')' FROM projections p
JOIN projection_checkpoints c ON {GROUP.format(name="c.name")} = p.checkpoint
WHERE p.checkpoint <> $1 AND p.state <> 'previous' AND c.name <> p.checkpoint
"""  # noqa: S608 -- names of columns


class NotLevel(Exception):
    """The number of shards cannot be changed now; nothing was changed."""


async def reshard(
    connection: Any,
    models: Mapping[str, Projection[Any]],
    number: int,
    *,
    page: int,
    service: str,
) -> None:
    """Have `number` shards from now on, if all are level, or nearly: the rest is applied.

    One shard may be split wherever it is. Raises NotLevel, and what `apply_page` raises.
    """
    async with connection.transaction():
        await connection.execute(LIMITS)
        held = (await checkpoints.lock(connection, MAIN)).get(MAIN, [])
        if len(held) in (0, number):
            return
        if elsewhere := await connection.fetch(_SPLIT_ELSEWHERE, MAIN):
            raise NotLevel(f"detached or being rebuilt: {', '.join(row[0] for row in elsewhere)}")
        place = held[0].cursor
        if len(held) > 1:
            place = await _level(connection, models, page, service)
        await checkpoints.split(connection, MAIN, [place] * number)


async def _level(
    connection: Any,
    models: Mapping[str, Projection[Any]],
    page: int,
    service: str,
) -> Cursor:
    """Bring all shards to the present moment."""
    moment = await current(connection)
    for place in await checkpoints.read_all(connection, MAIN):
        if any(models[n].version != v for n, v in place.models.items() if n in models):
            raise NotLevel("a read model is of another version")
        if missing := place.models.keys() - models.keys():
            raise NotLevel(f"this worker does not have {', '.join(sorted(missing))}")
        ours = [models[name] for name in sorted(place.models)]
        rest = await apply_up_to(
            connection, ours, place, place.cursor, moment, page=page, service=service
        )
        if rest is None:
            raise NotLevel(f"{place.name} is behind")
    return Cursor(published=moment, target=moment)
