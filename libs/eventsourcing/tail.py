"""Reading the log by snapshot difference: what one moment sees and an earlier one did not.

Positions become visible out of order, so "position > last" loses events; waiting for the oldest
running transaction stalls behind strangers. The difference of two snapshots does neither, and it
holds every stream in order, because the writer of version n + 1 has seen n committed.

A difference may be many pages long, so a snapshot alone names no place in the log: a `Cursor` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import recorded_events
from libs.eventsourcing.snapshot import NOTHING, Snapshot
from libs.eventsourcing.statements import COLUMNS


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A place in the log: all that `published` sees, and of what `target` sees beyond that the
    events up to `after_position`, or all of them if `complete`.
    """

    published: Snapshot = NOTHING
    target: Snapshot = NOTHING
    after_position: int = 0
    complete: bool = True

    def includes(self, xid: int, position: int) -> bool:
        """Whether the event at `position`, written by transaction `xid`, is before this place."""
        if self.complete:
            return self.target.sees(xid)
        return self.published.sees(xid) or (
            position <= self.after_position and self.target.sees(xid)
        )


START: Final = Cursor()
"""Before the first event."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of their positions, and the place behind them.

    `backlog` counts the events of the whole difference, these included, when its first page is
    read; it is None for the pages that follow.
    """

    events: Sequence[RecordedEvent]
    cursor: Cursor
    backlog: int | None = None


_FIRST: Final = """
WITH moment AS MATERIALIZED (
    SELECT {target} AS target
), news AS MATERIALIZED (
    -- Two looks into the index, for an OR would be one at every row that has a version.
    SELECT position FROM events, moment
    WHERE xid >= $1::text::xid8 {below} AND pg_visible_in_snapshot(xid, moment.target)
    UNION ALL
    SELECT position FROM events, moment
    WHERE xid = ANY($2::text[]::xid8[]) AND pg_visible_in_snapshot(xid, moment.target)
)
SELECT {columns} FROM events
WHERE position IN (SELECT position FROM news ORDER BY position LIMIT $3)
UNION ALL
SELECT NULL, (SELECT count(*) FROM news), NULL, NULL, target::text, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL
FROM moment
ORDER BY position NULLS FIRST
"""
"""The present moment, how many events it sees that $1 and $2 did not, and the first $3 of them. It
is one statement, so its own snapshot is the moment. The heading row has no position."""

_UP_TO_NOW: Final = _FIRST.format(target="pg_current_snapshot()", below="", columns=COLUMNS)
_UP_TO: Final = _FIRST.format(
    target="$4::text::pg_snapshot", below="AND xid < $5::text::xid8", columns=COLUMNS
)

_REST: Final = f"""
SELECT {COLUMNS} FROM events
WHERE position > $1 AND position <= $2
    AND pg_visible_in_snapshot(xid, $3::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
ORDER BY position LIMIT $5
"""  # noqa: S608 -- names of columns
"""Further pages walk the positions: an index on `xid` would sort the whole difference each time."""

LAST: Final = 2**63 - 1
"""Behind every position."""


async def read_page(
    connection: Any, cursor: Cursor, *, limit: int, until: Snapshot | None = None
) -> Page:
    """The next `limit` events behind `cursor`, at most.

    An unfinished difference is read on; behind a complete one begins the difference to `until`, by
    default to the present moment. `until` must see all that `cursor.target` does. Without events
    the page is empty, and its cursor as good as `cursor`.
    """
    if cursor.complete:
        return await _first_page(connection, cursor.target, limit, until)
    return await read_difference(
        connection, cursor.published, cursor.target, after=cursor.after_position, limit=limit
    )


async def read_difference(
    connection: Any,
    published: Snapshot,
    target: Snapshot,
    *,
    after: int,
    until_position: int = LAST,
    limit: int,
) -> Page:
    """What `target` sees and `published` does not, by position: `limit` events behind `after`."""
    # One more than wanted tells whether the page is the last, also if it is just full.
    rows = await connection.fetch(
        _REST, after, until_position, str(target), str(published), limit + 1
    )
    return _page(rows, published, target, after=after, limit=limit)


async def current(connection: Any) -> Snapshot:
    """The present moment."""
    return Snapshot.parse(await connection.fetchval("SELECT pg_current_snapshot()::text"))


async def _first_page(
    connection: Any, published: Snapshot, limit: int, until: Snapshot | None
) -> Page:
    news = str(published.xmax), [*map(str, published.running)]
    if until is None:
        heading, *rows = await connection.fetch(_UP_TO_NOW, *news, limit + 1)
    else:
        up_to = str(until), str(until.xmax)
        heading, *rows = await connection.fetch(_UP_TO, *news, limit + 1, *up_to)
    target, backlog = Snapshot.parse(heading["stream"]), heading["xid"]
    return _page(rows, published, target, after=0, limit=limit, backlog=backlog)


def _page(
    rows: Sequence[Any],
    published: Snapshot,
    target: Snapshot,
    *,
    after: int,
    limit: int,
    backlog: int | None = None,
) -> Page:
    events = recorded_events(rows[:limit])
    last = events[-1].position if events else after
    complete = len(rows) <= limit
    cursor = Cursor(published=published, target=target, after_position=last, complete=complete)
    return Page(events, cursor, backlog)
