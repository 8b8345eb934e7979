"""Setting aside what a read model cannot apply: by stream and model, visible, to be tried again.

Once an event of a stream is parked, the later ones of that stream wait behind it, so that a read
model never shows a stream with a hole; all other streams go on. Only the first position is written
down: the log holds the events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg

from libs.errors import NotFound
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import recorded_events
from libs.eventsourcing.statements import COLUMNS
from libs.eventsourcing.tail import Cursor
from libs.postgres.pool import acquired
from libs.projections import checkpoints
from libs.projections.apply import ModelFailed, apply_to, decode_page, truncated_error
from libs.projections.projection import Projection
from libs.projections.shards import StreamKey

Event = TypeVar("Event")

RETRY_PAGE: Final = 1000
RETRY_SECONDS: Final = 20
"""How long a statement of a retry may take: others wait for the checkpoint meanwhile."""
TRIES: Final = 100
PAUSE: Final = 0.05
"""How often shards that are apart are tried to be met level, and seconds between two tries."""


class NotParked(NotFound):
    """This stream is not parked."""


class OtherVersion(Exception):
    """The read model's rows were filled by another version of its code, which must retry it."""


class ShardsApart(Exception):
    """The shards have come unequally far in this stream; nothing was changed. Try again."""


class StillFailing(Exception):
    """The stream cannot be applied yet; nothing was changed and it stays parked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedStream:
    """A row of the list: `waiting` counts its events from the first that failed."""

    projection: str
    tenant: str
    stream: str
    reason: str
    error: str
    parked_at: datetime
    attempts: int
    first_position: int
    waiting: int


_APPLIED: Final = """coalesce(
    pg_visible_in_snapshot(xid, published)
        OR (position < first_position AND pg_visible_in_snapshot(xid, target)),
    position < first_position)"""
"""Whether an event of a parked stream was applied before the stream was parked: see `Cursor`. By
position alone it is not to be told, for facts of one stream become visible out of order."""

_LIST: Final = f"""
SELECT p.projection || CASE p.state WHEN 'live' THEN '' ELSE '@' || p.state END AS projection,
    p.tenant, p.stream, p.reason, p.error, p.parked_at, p.attempts, p.first_position,
    (SELECT count(*) FROM events e
        WHERE e.tenant = p.tenant AND e.stream = p.stream AND NOT {_APPLIED}) AS waiting
FROM parked_events p
WHERE p.projection = $1 OR ($1::text IS NULL AND p.state <> 'previous')
ORDER BY p.parked_at, p.projection, p.tenant, p.stream
"""  # noqa: S608 -- no input

_PLACE_OF: Final = """
SELECT m.checkpoint, m.version, p.first_position, p.published::text, p.target::text
FROM projections m JOIN parked_events p ON p.projection = m.name AND p.state = m.state
WHERE m.name = $1 AND m.state = 'live' AND p.tenant = $2 AND p.stream = $3
"""

_RELEASE: Final = """
DELETE FROM parked_events
WHERE projection = $1 AND state = 'live' AND tenant = $2 AND stream = $3
"""

_FAILED_AGAIN: Final = """
UPDATE parked_events SET attempts = attempts + 1, error = $4
WHERE projection = $1 AND state = 'live' AND tenant = $2 AND stream = $3
"""

_WAITING: Final = f"""
SELECT {COLUMNS} FROM events,
    (SELECT $5::bigint, $6::text::pg_snapshot, $7::text::pg_snapshot)
        AS parked (first_position, published, target)
WHERE position > $3 AND tenant = $1 AND stream = $2 AND NOT {_APPLIED}
ORDER BY position LIMIT $4
"""  # noqa: S608 -- names of columns


async def list_parked(connection: Any, projection: str | None = None) -> list[ParkedStream]:
    """What is parked, the longest first; by default of all but previous versions."""
    return [ParkedStream(**dict(row)) for row in await connection.fetch(_LIST, projection)]


async def count(connection: Any, projection: str) -> int:
    """How many streams of the live read model are parked."""
    query = "SELECT count(*) FROM parked_events WHERE projection = $1 AND state = 'live'"
    return int(await connection.fetchval(query, projection))


async def retry(pool: asyncpg.Pool, projection: Projection[Event], key: StreamKey) -> int:
    """Apply what waits in a parked stream and let it go on, in one transaction.

    Answers how many events were applied. The read model's checkpoint is held meanwhile, and its
    stream is read up to there: what is behind it comes by itself. Raises NotParked, OtherVersion,
    ShardsApart, StillFailing.
    """
    async with acquired(pool) as connection:

        async def applied() -> int:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = '{RETRY_SECONDS}s'")
                return await _retry(connection, projection, key)

        try:
            return await _once_level(applied)
        except StillFailing as error:
            await connection.execute(
                _FAILED_AGAIN, projection.name, *key, truncated_error(str(error))
            )
            raise


async def drop(pool: asyncpg.Pool, projection: Projection[Any], key: StreamKey) -> int:
    """Give up what waits in a parked stream and let it go on; how many events were given up.

    The log still has them; a rebuild tries them again. Raises NotParked, ShardsApart.
    """
    async with acquired(pool) as connection:

        async def given_up() -> int:
            async with connection.transaction():
                return sum([len(page) async for page in _release(connection, projection, key)])

        return await _once_level(given_up)


async def _once_level(attempt: Callable[[], Awaitable[int]]) -> int:
    """What the attempt answers, tried again while shards are apart. Raises ShardsApart."""
    for _ in range(TRIES):
        try:
            return await attempt()
        except ShardsApart:
            await asyncio.sleep(PAUSE)
    return await attempt()


async def _retry(connection: Any, projection: Projection[Event], key: StreamKey) -> int:
    applied = 0
    async for events in _release(connection, projection, key, projection.version):
        decoded = decode_page(projection.codec, events)
        try:
            failures = await apply_to(connection, projection, decoded, careful=True)
        except ModelFailed as error:
            raise StillFailing(str(error)) from error
        if failures:
            raise StillFailing(failures[0].error)
        applied += len(events)
    return applied


async def _release(
    connection: Any, projection: Projection[Any], key: StreamKey, version: int | None = None
) -> Any:
    """Lift the block; then pages of what waited behind it, up to the checkpoint, which is held.

    If a `version` is named, the read model must be filled by it.
    """
    model = projection.name
    row = await connection.fetchrow(_PLACE_OF, model, *key)
    if row is None:
        raise NotParked
    if version not in (None, row["version"]):
        raise OtherVersion(f"{model} is filled by version {row['version']}, this is {version}")
    places = (await checkpoints.lock(connection, row["checkpoint"])).get(row["checkpoint"])
    # Read again: until it was held, another retry may have been quicker, or the model have moved.
    if not places or await connection.fetchrow(_PLACE_OF, model, *key) != row:
        raise NotParked
    await connection.execute(_RELEASE, model, *key)
    await checkpoints.touch(connection, row["checkpoint"])
    after, parked = 0, (row["first_position"], row["published"], row["target"])
    while events := await _waiting(connection, key, after, parked):
        after = events[-1].position
        yield _before(events, [place.cursor for place in places])


async def _waiting(
    connection: Any, key: StreamKey, after: int, parked: tuple[int, str | None, str | None]
) -> Sequence[RecordedEvent]:
    rows = await connection.fetch(_WAITING, *key, after, RETRY_PAGE, *parked)
    return recorded_events(rows)


def _before(events: Sequence[RecordedEvent], cursors: Sequence[Cursor]) -> list[RecordedEvent]:
    """Those that the read model has come past, whichever shard they are for.

    Which one that is the worker knows: by code that may divide streams otherwise than this one's.
    Raises ShardsApart if it matters.
    """
    passed: list[RecordedEvent] = []
    for event in events:
        by = sum(cursor.includes(event.xid, event.position) for cursor in cursors)
        if 0 < by < len(cursors):
            raise ShardsApart(f"the shards are apart in {event.stream}; try again when all go on")
        if by:
            passed.append(event)
    return passed
