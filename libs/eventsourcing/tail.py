"""Tailing the log by snapshot difference: the events that one snapshot sees and an earlier did not.

Positions become visible out of order, so "position > last" loses events, and waiting for the oldest
running transaction stalls on unrelated ones. The difference of two snapshots does neither. It holds
every stream in order, because the writer of version n + 1 has seen n committed.

A difference may have many pages, so a snapshot alone is no position in the log: a `Cursor` is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeAlias, TypeVar

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import COLUMNS, TEXT_COLUMNS, recorded_events
from libs.eventsourcing.snapshot import NOTHING, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A position in the log: after all events that `published` sees, and after those that `target`
    sees up to `after_position`, or all of them if `complete`.
    """

    published: Snapshot = NOTHING
    target: Snapshot = NOTHING
    after_position: int = 0
    complete: bool = True

    @classmethod
    def of(cls, row: Any) -> "Cursor":
        """The cursor in a row with its fields, the snapshots as texts."""
        return cls(
            published=Snapshot.parse(row["published"]),
            target=Snapshot.parse(row["target"]),
            after_position=row["after_position"],
            complete=row["complete"],
        )

    def includes(self, xid: int, position: int) -> bool:
        """Whether the event at `position`, written by transaction `xid`, is before this cursor."""
        if self.complete:
            return self.target.sees(xid)
        return self.published.sees(xid) or (
            position <= self.after_position and self.target.sees(xid)
        )


START: Final = Cursor()
"""Before the first event."""


Event = TypeVar("Event")

Decode: TypeAlias = Callable[[Sequence[Any]], Sequence[Event]]
"""Makes events of rows."""


@dataclass(frozen=True, slots=True)
class PageOf(Generic[Event]):
    """Events in the order of their positions, and the cursor after them.

    `backlog` is the number of events in the whole difference on its first page, and None on the
    pages that follow.
    """

    events: Sequence[Event]
    cursor: Cursor
    backlog: int | None = None


Page: TypeAlias = PageOf[RecordedEvent]

PAGE_BYTES: Final = 8 * 2**20
"""The approximate limit for the data of a page, which holds at least one event."""

_BYTES: Final = """pg_column_size(data)
    * CASE WHEN pg_column_compression(data) IS NULL THEN 1 ELSE 10 END"""
"""An estimate of the size without decompressing."""

_BOUNDED: Final = COLUMNS.replace(
    " data,", f" CASE WHEN before < {PAGE_BYTES} THEN data END AS data,"
)
"""The data is null for events beyond the bytes of a page, which belong to the next one."""


def _sized(rows: str) -> str:
    """Rows of events by position, each with the total size of those before."""
    window = "OVER (ORDER BY position ROWS UNBOUNDED PRECEDING)"
    return f"""(
    SELECT *, sum(bytes) {window} - bytes AS before
    FROM (SELECT *, {_BYTES} AS bytes FROM {rows}) AS page
) AS page"""  # noqa: S608 -- no input


_FIRST: Final = """
WITH moment AS MATERIALIZED (
    SELECT {target} AS target
), news AS MATERIALIZED (
    -- Two index scans, for an OR would check every row.
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
"""The present snapshot, the number of events it sees that $1 and $2 did not, and the first $3 of
them. Being one statement, its own snapshot is the present one. The heading row has no position."""

# The upper bound follows from the snapshot. It tells the planner that the range is narrow: without
# statistics it expects a third of the log in it.
_NOW: Final = {
    "target": "pg_current_snapshot()",
    "below": "AND xid < pg_snapshot_xmax(pg_current_snapshot())",
}
# The offset keeps the planner from joining with the whole log, however small it expects that to be.
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
"""Further pages scan the positions; by the index on `xid` each would sort the whole difference."""

_REST_EVENTS: Final = f"""
SELECT {_BOUNDED} FROM {_sized(f"({_REST}) AS events")} ORDER BY position
"""  # noqa: S608 -- no input
_REST_ROWS: Final = _REST.replace("*", TEXT_COLUMNS, 1)

READ_IN_ORDER: Final = """
SET enable_bitmapscan = off;
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan
"""
"""For sessions that read the log. Without statistics the planner expects few rows after a page, and
would read and sort all of them for every page. A plan made while the log is small is kept while it
grows, so it must not scan the whole table. One plan serves every page: planning takes longer than
reading a small page."""

LAST: Final = 2**63 - 1
"""After every position."""


async def read_page(
    connection: Any, cursor: Cursor, *, limit: int, until: Snapshot | None = None
) -> Page:
    """The next `limit` events after `cursor`, or fewer if they are large: see `PAGE_BYTES`.

    Continues an incomplete difference. After a complete one starts the difference to `until`, by
    default to the present snapshot. `until` must see all that `cursor.target` does. If there are no
    events, the page is empty and its cursor equivalent to `cursor`.
    """
    if cursor.complete:
        bounds = *_bounds_of(cursor.target), limit + 1
        if until is None:
            rows = await connection.fetch(_UP_TO_NOW, *bounds)
        else:
            rows = await connection.fetch(_UP_TO, *bounds, str(until), str(until.xmax))
        return _first_page(rows, cursor.target, limit, recorded_events)
    return await read_difference(
        connection, cursor.published, cursor.target, after=cursor.after_position, limit=limit
    )


async def read_rows(connection: Any, cursor: Cursor, *, limit: int) -> PageOf[Any]:
    """The same up to the present snapshot, as rows of `TEXT_COLUMNS`."""
    if cursor.complete:
        rows = await connection.fetch(_ROWS_UP_TO_NOW, *_bounds_of(cursor.target), limit + 1)
        return _first_page(rows, cursor.target, limit, _undecoded)
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
    """The events that `target` sees and `published` does not: `limit` of them after `after`."""
    # One more than the limit, to know whether the page is the last.
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
    """The same as rows of `TEXT_COLUMNS`; with a `kind`, only of streams of that kind."""
    bounds = after, until_position, str(target), str(published), kind, limit + 1
    rows = await connection.fetch(_REST_ROWS, *bounds)
    return _page(rows, published, target, after, limit, _undecoded)


async def read_towards(connection: Any, cursor: Cursor, goal: Cursor, *, limit: int) -> Page | None:
    """The next page after `cursor` up to `goal`, which must be later; None when it is reached.

    The last page's cursor is `goal` or equivalent to it.
    """
    if not cursor.complete:
        if goal.complete or (cursor.published, cursor.target) != (goal.published, goal.target):
            return await read_page(connection, cursor, limit=limit)
        return await _read_within(connection, cursor.after_position, goal, limit)
    reached = goal.target if goal.complete else goal.published
    if cursor.target != reached:
        return await read_page(connection, cursor, limit=limit, until=reached)
    return None if goal.complete else await _read_within(connection, 0, goal, limit)


async def current(connection: Any) -> Snapshot:
    """The present snapshot."""
    return Snapshot.parse(await connection.fetchval("SELECT pg_current_snapshot()::text"))


async def _read_within(connection: Any, after: int, goal: Cursor, limit: int) -> Page | None:
    """The next page of the incomplete difference of `goal`."""
    until = goal.after_position
    if after >= until:
        return None
    page = await read_difference(
        connection, goal.published, goal.target, after=after, until_position=until, limit=limit
    )
    last = until if page.cursor.complete else page.cursor.after_position
    return replace(page, cursor=replace(goal, after_position=last))


def _undecoded(rows: Sequence[Any]) -> Sequence[Any]:
    return rows


def _bounds_of(published: Snapshot) -> tuple[str, list[str]]:
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
