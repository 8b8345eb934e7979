"""Reading the log by snapshot difference: what one moment sees and an earlier one did not.

Positions become visible out of order, so "position > last" loses events; waiting for the oldest
running transaction stalls behind strangers. The difference of two snapshots does neither, and it
keeps every stream in order, because the writer of version n + 1 has seen n committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import recorded_event
from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.statements import COLUMNS

_CONDITION: Final = """(
    (xid >= $1::text::xid8 AND xid < $2::text::xid8) OR xid = ANY($3::text[]::xid8[])
) AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot)"""

_BACKLOG: Final = f"SELECT count(*), min(position) AS first FROM events WHERE {_CONDITION}"  # noqa: S608

_OF_TENANT: Final = f"""
SELECT DISTINCT xid::text::bigint AS xid FROM events WHERE {_CONDITION} AND tenant = $5
"""  # noqa: S608

_PAGE: Final = f"""
SELECT {COLUMNS} FROM events
WHERE {_CONDITION} AND position > $5 AND position <= $6
ORDER BY position LIMIT $7
"""  # noqa: S608

LAST: Final = 2**63 - 1
"""Behind every position."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything `target` sees and `published` did not."""

    published: Snapshot
    target: Snapshot

    def _arguments(self) -> tuple[str, str, list[str], str]:
        ended = [xid for xid in self.published.running if self.target.sees(xid)]
        return str(self.published.xmax), str(self.target.xmax), [*map(str, ended)], str(self.target)

    async def backlog(self, connection: Any) -> tuple[int, int]:
        """How many events there are, and a position before the first of them."""
        row = await connection.fetchrow(_BACKLOG, *self._arguments())
        return row["count"], (row["first"] or 1) - 1

    async def written_by(self, connection: Any, tenant: str) -> list[int]:
        """The transactions that wrote events of a tenant."""
        rows = await connection.fetch(_OF_TENANT, *self._arguments(), tenant)
        return [row["xid"] for row in rows]

    async def page(self, connection: Any, *, after: int, until: int = LAST, limit: int) -> "Page":
        """The first `limit` events of the difference behind `after`, by position."""
        # One more than asked for tells whether the page is the last, also if it is just full.
        rows = await connection.fetch(_PAGE, *self._arguments(), after, until, limit + 1)
        return Page(self, after, [recorded_event(r) for r in rows[:limit]], len(rows) <= limit)


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of a difference, in the order of their positions; `last` if no more follow."""

    difference: Difference
    after: int
    events: Sequence[RecordedEvent]
    last: bool


async def current(connection: Any) -> Snapshot:
    """The present moment."""
    return Snapshot.parse(await connection.fetchval("SELECT pg_current_snapshot()::text"))
