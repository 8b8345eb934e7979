"""Reading the log by snapshot difference: what one moment sees and an earlier one did not.

Positions become visible out of order, so "position > last" loses events; waiting for the oldest
running transaction stalls behind strangers. The difference of two snapshots does neither, and it
holds every stream in order, because the writer of version n + 1 has seen n committed.

A difference may be many pages long, so a snapshot alone names no place in the log: a `Cursor` does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import recorded_events
from libs.eventsourcing.snapshot import NOTHING, Snapshot
from libs.eventsourcing.statements import COLUMNS, TEXT_COLUMNS


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


Event = TypeVar("Event")

Decode: TypeAlias = Callable[[Sequence[Any]], Sequence[Event]]
"""Makes events of rows of `statements.COLUMNS`."""


@dataclass(frozen=True, slots=True)
class PageOf(Generic[Event]):
    """Events in the order of their positions, and the place behind them.

    `backlog` counts the events of the whole difference, these included, when its first page is
    read; it is None for the pages that follow.
    """

    events: Sequence[Event]
    cursor: Cursor
    backlog: int | None = None


Page: TypeAlias = PageOf[RecordedEvent]

PAGE_BYTES: Final = 8 * 2**20
"""How many bytes of data a page of events holds, about; one event it holds in any case."""

_BYTES: Final = """pg_column_size(data)
    * CASE WHEN pg_column_compression(data) IS NULL THEN 1 ELSE 10 END"""
"""An estimate that unpacks nothing: of compressed data only the packed size is known at once."""

_BOUNDED: Final = COLUMNS.replace(
    " data,", f" CASE WHEN before < {PAGE_BYTES} THEN data END AS data,"
)
"""Of events beyond the bytes of a page the data is null: they belong to the next one."""


def _sized(rows: str) -> str:
    """Rows of events, in the order of positions, with how many bytes come before each."""
    window = "OVER (ORDER BY position ROWS UNBOUNDED PRECEDING)"
    return f"""(
    SELECT *, sum(bytes) {window} - bytes AS before
    FROM (SELECT *, {_BYTES} AS bytes FROM {rows}) AS page
) AS page"""  # noqa: S608 -- no input


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
SELECT {columns} FROM {page}
UNION ALL
SELECT NULL, (SELECT {count} FROM news), NULL, NULL, target::text, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL
FROM moment
ORDER BY position NULLS FIRST
"""
"""The present moment, how many events it sees that $1 and $2 did not, and the first $3 of them. It
is one statement, so its own snapshot is the moment. The heading row has no position."""

# The upper bound says nothing new, but that there are few: else a log whose rows the server has not
# counted yet is read from end to end.
_NOW: Final = {
    "target": "pg_current_snapshot()",
    "below": "AND xid < pg_snapshot_xmax(pg_current_snapshot())",
}
# Fenced: each is looked up by its position, however small the planner takes the log to be.
_NEWS: Final = """(
    SELECT event.* FROM (SELECT position FROM news ORDER BY position LIMIT $3) AS page,
    LATERAL (SELECT * FROM events WHERE position = page.position OFFSET 0) AS event
) AS events"""
_EVENTS: Final = {"columns": _BOUNDED, "count": "count(*)", "page": _sized(_NEWS)}
_ROWS: Final = {"columns": TEXT_COLUMNS, "count": "count(*)::text", "page": _NEWS}
_UP_TO_NOW: Final = _FIRST.format(**_NOW, **_EVENTS)
_ROWS_UP_TO_NOW: Final = _FIRST.format(**_NOW, **_ROWS)
_UP_TO: Final = _FIRST.format(
    target="$4::text::pg_snapshot", below="AND xid < $5::text::xid8", **_EVENTS
)

_REST: Final = """
SELECT * FROM events
WHERE position > $1 AND position <= $2
    AND pg_visible_in_snapshot(xid, $3::text::pg_snapshot)
    AND NOT pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
    AND ($5::text = '' OR split_part(stream, '-', 1) = $5)
ORDER BY position LIMIT $6
"""
"""Further pages walk the positions: an index on `xid` would sort the whole difference each time."""

_REST_EVENTS: Final = f"""
SELECT {_BOUNDED} FROM {_sized(f"({_REST}) AS events")} ORDER BY position
"""  # noqa: S608 -- no input
_REST_ROWS: Final = _REST.replace("*", TEXT_COLUMNS, 1)

READ_IN_ORDER: Final = """
SET enable_bitmapscan = off;
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan
"""
"""For a session that reads the log. Before a table has statistics, the planner takes all that is
behind a page for a handful of rows, and would read and sort all of it for every page. What was
planned while the log was small is kept while it grows, so it must not read the log from end to end.
One plan serves every page: to plan takes longer than to read a small one."""

LAST: Final = 2**63 - 1
"""Behind every position."""


async def read_page(
    connection: Any, cursor: Cursor, *, limit: int, until: Snapshot | None = None
) -> Page:
    """The next `limit` events behind `cursor`, or fewer if they are big: see `PAGE_BYTES`.

    An unfinished difference is read on; behind a complete one begins the difference to `until`, by
    default to the present moment. `until` must see all that `cursor.target` does. Without events
    the page is empty, and its cursor as good as `cursor`.
    """
    if cursor.complete:
        news = *_seen(cursor.target), limit + 1
        if until is None:
            rows = await connection.fetch(_UP_TO_NOW, *news)
        else:
            rows = await connection.fetch(_UP_TO, *news, str(until), str(until.xmax))
        return _first_page(rows, cursor.target, limit, recorded_events)
    return await read_difference(
        connection, cursor.published, cursor.target, after=cursor.after_position, limit=limit
    )


async def read_rows(connection: Any, cursor: Cursor, *, limit: int) -> PageOf[Any]:
    """The same up to the present moment, as rows of `statements.TEXT_COLUMNS`."""
    if cursor.complete:
        rows = await connection.fetch(_ROWS_UP_TO_NOW, *_seen(cursor.target), limit + 1)
        return _first_page(rows, cursor.target, limit, _as_they_are)
    return await read_rows_of_difference(
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
    bounds = after, until_position, str(target), str(published), "", limit + 1
    rows = await connection.fetch(_REST_EVENTS, *bounds)
    return _page(rows, published, target, after, limit, recorded_events)


async def read_rows_of_difference(
    connection: Any,
    published: Snapshot,
    target: Snapshot,
    *,
    after: int,
    until_position: int = LAST,
    limit: int,
    kind: str = "",
) -> PageOf[Any]:
    """The same as rows of `statements.TEXT_COLUMNS`; if a kind of streams is named, only theirs."""
    bounds = after, until_position, str(target), str(published), kind, limit + 1
    rows = await connection.fetch(_REST_ROWS, *bounds)
    return _page(rows, published, target, after, limit, _as_they_are)


async def current(connection: Any) -> Snapshot:
    """The present moment."""
    return Snapshot.parse(await connection.fetchval("SELECT pg_current_snapshot()::text"))


def _as_they_are(rows: Sequence[Any]) -> Sequence[Any]:
    return rows


def _seen(published: Snapshot) -> tuple[str, list[str]]:
    return str(published.xmax), [*map(str, published.running)]


def _first_page(
    rows: Sequence[Any], published: Snapshot, limit: int, decode: Decode[Event]
) -> PageOf[Event]:
    heading, *events = rows
    target, backlog = Snapshot.parse(heading["stream"]), int(heading["xid"])
    return _page(events, published, target, 0, limit, decode, backlog)


def _page(
    rows: Sequence[Any],
    published: Snapshot,
    target: Snapshot,
    after: int,
    limit: int,
    decode: Decode[Event],
    backlog: int | None = None,
) -> PageOf[Event]:
    complete = len(rows) <= limit
    rows = rows if complete else rows[:limit]
    if rows and rows[-1]["data"] is None:
        complete = False
        rows = rows[: next(n for n, row in enumerate(rows) if row["data"] is None)]
    last = rows[-1]["position"] if rows else after
    cursor = Cursor(published=published, target=target, after_position=last, complete=complete)
    return PageOf(decode(rows), cursor, backlog)
