"""Reading the log up to a place in it."""

from dataclasses import replace
from typing import Any

from libs.eventsourcing.tail import Cursor, Page, read_difference, read_page


async def read_towards(connection: Any, cursor: Cursor, goal: Cursor, *, limit: int) -> Page | None:
    """The next page behind `cursor` on the way to `goal`, which must be a later place; None there.

    The last page's cursor is `goal`, or as good as it.
    """
    if not cursor.complete:
        if goal.complete or (cursor.published, cursor.target) != (goal.published, goal.target):
            return await read_page(connection, cursor, limit=limit)
        return await _read_within(connection, cursor.after_position, goal, limit)
    reached = goal.target if goal.complete else goal.published
    if cursor.target != reached:
        return await read_page(connection, cursor, limit=limit, until=reached)
    return None if goal.complete else await _read_within(connection, 0, goal, limit)


async def _read_within(connection: Any, after: int, goal: Cursor, limit: int) -> Page | None:
    """The next page of the difference that `goal` is in the middle of."""
    until = goal.after_position
    if after >= until:
        return None
    page = await read_difference(
        connection, goal.published, goal.target, after=after, until_position=until, limit=limit
    )
    last = until if page.cursor.complete else page.cursor.after_position
    return replace(page, cursor=replace(goal, after_position=last))
