"""Reading your own writes: waiting until a read model includes the writes of a token.

See `libs.eventsourcing.tokens`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from libs.eventsourcing.plan import LogPosition
from libs.eventsourcing.tail import Cursor, current, read_page
from libs.postgres import query
from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import acquire, skip_session_reset
from libs.projections.checkpoints import MAIN
from libs.projections.positions import Position, includes, positions_in
from libs.projections.shards import GROUP, earliest
from libs.projections.visibility import Visibility

PAUSE: Final = 0.003
"""Seconds between two polls of the checkpoints."""

Pause: TypeAlias = Callable[[], Awaitable[None]]


_POSITIONS: Final = f"""
SELECT p.name, p.checkpoint, c.published::text, c.target::text, c.after_position, c.complete,
    EXISTS (SELECT FROM parked_events e WHERE e.projection = p.name AND e.state = 'live') AS parked
FROM projections p JOIN projection_checkpoints c ON {GROUP.format(name="c.name")} = p.checkpoint
WHERE p.state = 'live'
"""  # noqa: S608 -- no input

_OF_TENANT: Final = """
SELECT xid::text::bigint AS xid, max(position) AS position FROM events
WHERE tenant = $1 AND (xid >= $2::text::xid8 OR xid = ANY($3::text[]::xid8[]))
    AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
GROUP BY 1
"""


class Consistency:
    """The positions of this service's read models, and waits for them.

    The pool must see all tenants. `deadline` is in seconds. `pause` waits until the checkpoints may
    have moved, for a limited time.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        models: Sequence[str],
        *,
        deadline: float = 2.0,
        pause: Pause | None = None,
        doorbell: Doorbell | None = None,
    ) -> None:
        self._pool = pool
        self._models = frozenset(models)
        self._deadline = deadline
        self._pause = pause or _pause
        self._next: asyncio.Future[Mapping[str, Position]] | None = None
        self._visibility = Visibility(self.positions, doorbell)

    async def close(self) -> None:
        """Stop waiting."""
        await self._visibility.close()

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Whether the read model includes the writes of `token`, before the deadline.

        Raises TokenMalformed, and KeyError for an unknown read model.
        """
        written = positions_in(token)
        read_at: Position | None = None

        async def is_behind() -> bool:
            nonlocal read_at
            if not written:
                return False
            position = (await self.positions()).get(model)
            if position is None or position.includes(written):
                return position is None
            if position == read_at or not all(cursor.complete for cursor in position.cursors):
                return True
            read_at = position
            return not await self._includes_moment(position, written)

        return await self._wait(model, is_behind)

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Whether the read models include the writes of `tokens`, within so many seconds.

        Holds no connection while it waits. False if the database fails, and at once if a read model
        is detached, has parked streams or was late the last time. Raises TokenMalformed, and
        KeyError for an unknown read model.
        """
        for model in models:
            if model not in self._models:
                raise KeyError(model)
        written = [write for token in tokens for write in positions_in(token)]
        return await self._visibility.wait(models, written, within)

    async def caught_up(self, model: str, tenant: str) -> bool:
        """Whether the read model includes the tenant's events in the log now, before the deadline.

        Does not wait for other tenants' events. Raises KeyError for an unknown read model.
        """
        unapplied: Sequence[LogPosition] | None = None

        async def is_behind() -> bool:
            nonlocal unapplied
            if unapplied is None:
                unapplied = await self._unapplied(model, tenant)
            return bool(unapplied) and not includes(await self.positions(), model, unapplied)

        return await self._wait(model, is_behind)

    async def positions(self) -> Mapping[str, Position]:
        """The positions of the live read models, queried after this call began.

        Concurrent calls share a query. Raises what the pool raises.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._read_positions())
        return await asyncio.shield(self._next)

    async def _wait(self, model: str, is_behind: Callable[[], Awaitable[bool]]) -> bool:
        if model not in self._models:
            raise KeyError(model)
        try:
            async with asyncio.timeout(self._deadline):
                while await is_behind():
                    await self._pause()
        except TimeoutError:
            return False
        return True

    async def _includes_moment(self, position: Position, written: Sequence[LogPosition]) -> bool:
        """Whether the read model includes all events of a moment that sees the transactions.

        A token may name a transaction that wrote no event or has not begun (see `token_of`), which
        moves no checkpoint. The events it stands for were committed before the token was issued.
        """
        async with acquire(self._pool) as connection:
            skip_session_reset(connection)
            pages = [await read_page(connection, at, limit=1) for at in position.cursors]
        started = all(xid <= page.cursor.target.xmax for xid, _ in written for page in pages)
        return started and not any(page.events for page in pages)

    async def _unapplied(self, model: str, tenant: str) -> Sequence[LogPosition]:
        """The tenant's writes up to now that the read model may not include yet."""
        async with acquire(self._pool) as connection:
            skip_session_reset(connection)
            moment = await current(connection)
            position = _positions(await connection.fetch(_POSITIONS)).get(model)
            included = Cursor().published
            if position:
                cursor = earliest(position.cursors)
                included = cursor.target if cursor.complete else cursor.published
            running = [str(xid) for xid in included.running]
            rows = await connection.fetch(
                _OF_TENANT, tenant, str(included.xmax), running, str(moment)
            )
        return [(row["xid"], row["position"]) for row in rows]

    async def _read_positions(self) -> Mapping[str, Position]:
        # Calls that come while the query runs need a later one: this one's snapshot may be older.
        await asyncio.sleep(0)
        self._next = None
        return _positions(await query.fetch(self._pool, _POSITIONS))


def _positions(rows: Sequence[Any]) -> Mapping[str, Position]:
    cursors: dict[str, list[Cursor]] = {}
    for row in rows:
        cursors.setdefault(row["name"], []).append(Cursor.of(row))
    return {
        row["name"]: Position(tuple(cursors[row["name"]]), row["checkpoint"] != MAIN, row["parked"])
        for row in rows
    }


async def _pause() -> None:
    await asyncio.sleep(PAUSE)
