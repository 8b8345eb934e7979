"""Parking: a stream that a read model cannot apply is set aside, and can be listed and retried.

From the failing event on, no event of the stream is applied to the read model, so that it never
shows a stream with a gap. All other streams go on. Only the first position is stored, since the
log holds the events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg

from libs.errors import NotFound
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.rows import COLUMNS, recorded_events
from libs.eventsourcing.tail import Cursor
from libs.postgres.pool import acquire
from libs.projections import checkpoints
from libs.projections.apply import ModelFailed, apply_to, truncated_error
from libs.projections.page_slices import decode_page
from libs.projections.projection import Projection
from libs.projections.shards import StreamKey

Event = TypeVar("Event")

RETRY_PAGE: Final = 1000
RETRY_SECONDS: Final = 20
"""How long a statement of a retry may take, while the checkpoint is locked."""
ATTEMPTS: Final = 100
PAUSE: Final = 0.05
"""How often a retry waits for the shards to be level, and seconds between two attempts."""


class NotParked(NotFound):
    """This stream is not parked."""


class VersionMismatch(Exception):
    """Another version of the code filled the read model's rows. Only that version can retry."""


class ShardsApart(Exception):
    """The shards are at different positions in this stream. Nothing was changed; try again."""


class StillFailing(Exception):
    """The stream still cannot be applied. Nothing was changed, and it stays parked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedStream:
    """A parked stream; `pending_events` counts its events from the first that failed."""

    projection: str
    tenant: str
    stream: str
    reason: str
    error: str
    parked_at: datetime
    attempts: int
    first_position: int
    pending_events: int


_APPLIED: Final = """coalesce(
    pg_visible_in_snapshot(xid, published)
        OR (position < first_position AND pg_visible_in_snapshot(xid, target)),
    position < first_position)"""
"""Whether an event of a parked stream was applied before the stream was parked: see `Cursor`.

The position alone does not tell, because facts of one stream become visible out of order."""

_LIST: Final = f"""
SELECT p.projection || CASE p.state WHEN 'live' THEN '' ELSE '@' || p.state END AS projection,
    p.tenant, p.stream, p.reason, p.error, p.parked_at, p.attempts, p.first_position,
    (SELECT count(*) FROM events e
        WHERE e.tenant = p.tenant AND e.stream = p.stream AND NOT {_APPLIED}) AS pending_events
FROM parked_events p
WHERE p.projection = $1 OR ($1::text IS NULL AND p.state <> 'previous')
ORDER BY p.parked_at, p.projection, p.tenant, p.stream
"""  # noqa: S608 -- no input

_CHECKPOINT_OF: Final = """
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

_PENDING: Final = f"""
SELECT {COLUMNS} FROM events,
    (SELECT $5::bigint, $6::text::pg_snapshot, $7::text::pg_snapshot)
        AS parked (first_position, published, target)
WHERE position > $3 AND tenant = $1 AND stream = $2 AND NOT {_APPLIED}
ORDER BY position LIMIT $4
"""  # noqa: S608 -- names of columns


async def list_parked(connection: Any, projection: str | None = None) -> list[ParkedStream]:
    """The parked streams, longest parked first; by default of all but previous versions."""
    return [ParkedStream(**dict(row)) for row in await connection.fetch(_LIST, projection)]


async def retry(pool: asyncpg.Pool, projection: Projection[Event], key: StreamKey) -> int:
    """Apply the pending events of a parked stream and release it, in one transaction.

    Returns the number of events applied. The read model's checkpoint is locked meanwhile, and the
    stream is read up to it; later events are applied by the runner. Raises NotParked,
    VersionMismatch, ShardsApart, StillFailing.
    """
    async with acquire(pool) as connection:

        async def apply_pending() -> int:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL statement_timeout = '{RETRY_SECONDS}s'")
                return await _retry(connection, projection, key)

        try:
            return await _when_level(apply_pending)
        except StillFailing as error:
            await connection.execute(
                _FAILED_AGAIN, projection.name, *key, truncated_error(str(error))
            )
            raise


async def drop(pool: asyncpg.Pool, projection: Projection[Any], key: StreamKey) -> int:
    """Skip the pending events of a parked stream and release it; the number of events skipped.

    They stay in the log, and a rebuild tries them again. Raises NotParked, ShardsApart.
    """
    async with acquire(pool) as connection:

        async def skip_pending() -> int:
            async with connection.transaction():
                return sum([len(page) async for page in _release(connection, projection, key)])

        return await _when_level(skip_pending)


async def _when_level(attempt: Callable[[], Awaitable[int]]) -> int:
    """The result of `attempt`, repeated while the shards are apart. Raises ShardsApart."""
    for _ in range(ATTEMPTS):
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
            failures = await apply_to(connection, projection, decoded, savepoints=True)
        except ModelFailed as error:
            raise StillFailing(str(error)) from error
        if failures:
            raise StillFailing(failures[0].error)
        applied += len(events)
    return applied


async def _release(
    connection: Any, projection: Projection[Any], key: StreamKey, version: int | None = None
) -> Any:
    """Release a parked stream, and yield pages of its pending events up to the checkpoint.

    The checkpoint is locked until the transaction ends. With a `version`, the read model must have
    been filled by that version of its code.
    """
    model = projection.name
    row = await connection.fetchrow(_CHECKPOINT_OF, model, *key)
    if row is None:
        raise NotParked
    if version not in (None, row["version"]):
        raise VersionMismatch(f"{model} is filled by version {row['version']}, this is {version}")
    group = row["checkpoint"]
    shards = (await checkpoints.lock(connection, group)).get(group)
    # Read again: before the lock, another retry may have released it, or the model have moved.
    if not shards or await connection.fetchrow(_CHECKPOINT_OF, model, *key) != row:
        raise NotParked
    await connection.execute(_RELEASE, model, *key)
    await checkpoints.touch(connection, group)
    after, parked = 0, (row["first_position"], row["published"], row["target"])
    while events := await _pending(connection, key, after, parked):
        after = events[-1].position
        yield _before(events, [shard.cursor for shard in shards])


async def _pending(
    connection: Any, key: StreamKey, after: int, parked: tuple[int, str | None, str | None]
) -> Sequence[RecordedEvent]:
    rows = await connection.fetch(_PENDING, *key, after, RETRY_PAGE, *parked)
    return recorded_events(rows)


def _before(events: Sequence[RecordedEvent], cursors: Sequence[Cursor]) -> list[RecordedEvent]:
    """The events before the checkpoint, whichever shard applies them.

    Which shard that is depends on the worker's code, whose `shard_key` may differ from this one's.
    Raises ShardsApart if an event is before the cursors of some shards only.
    """
    before: list[RecordedEvent] = []
    for event in events:
        count = sum(cursor.includes(event.xid, event.position) for cursor in cursors)
        if 0 < count < len(cursors):
            raise ShardsApart(f"the shards are apart in {event.stream}; try again when all go on")
        if count:
            before.append(event)
    return before
