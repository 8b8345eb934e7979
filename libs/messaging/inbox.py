"""The inbox: the messages of a reaction, each stored once, until they are handled.

A message is stored in the transaction that moves the position of its reader. Messages of one
ordering key are handled one after the other, by `run_at` and then by `occurred_at`; if the latest
wins, an earlier message is skipped as soon as a later one is due. A worker claims a message for the
duration of a lease. Every claim has a fence number: a worker that was frozen until another worker
claimed its message can no longer finish it. All times are those of the database, so the clocks of
workers do not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

LEASE: Final = timedelta(minutes=1)
"""How long a claim lasts unless it is released before."""


class ClaimLost(Exception):
    """The message was claimed by another worker, skipped or finished meanwhile."""


class RawRecord(msgspec.Struct, frozen=True):
    """A Kafka record, unchanged."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxMessage:
    """An event in the inbox.

    With a `record` it is a record that could not be read as an event: it is parked from the start
    with `error`, and of the other fields only tenant, event id and stream are meaningful.
    `attempts` includes the current attempt, `fence` is the number of the current claim.
    """

    tenant: str
    event_id: UUID
    stream: str
    version: int | None
    type: str
    schema_version: int
    data: str
    metadata: str
    occurred_at: datetime
    recorded_at: datetime
    ordering_key: str
    run_at: datetime
    record: RawRecord | None = None
    error: str | None = None
    attempts: int = 0
    fence: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """The unfinished messages of a reaction: how many are parked, and for how many seconds the
    oldest message has been due that no parked message blocks."""

    parked: int
    oldest_seconds: float


_FIELDS: Final = ("tenant", "event_id", "stream", "version", "type", "schema_version", "data")
_MORE_FIELDS: Final = ("metadata", "occurred_at", "recorded_at", "ordering_key", "run_at", "error")
_COLUMNS: Final = """tenant, event_id, stream, version, type, schema_version, data, metadata,
    occurred_at, recorded_at, subject, due_at, error, record"""

_STORE: Final = f"""
INSERT INTO inbox (reaction, parked_at, {_COLUMNS})
SELECT $1, CASE WHEN record IS NOT NULL THEN clock_timestamp() END, tenant, event_id, stream,
    version, type, schema_version, data::jsonb, metadata::jsonb, occurred_at, recorded_at, subject,
    due_at, error, record::jsonb
FROM unnest($2::text[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::smallint[],
    $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::text[],
    $13::timestamptz[], $14::text[], $15::text[]) WITH ORDINALITY AS given ({_COLUMNS}, number)
ORDER BY number
ON CONFLICT DO NOTHING
"""  # noqa: S608 -- names of columns

_FREE: Final = "(claimed_until IS NULL OR claimed_until <= clock_timestamp())"

# A claimed message is left alone: its worker may be handling it.
_SKIP: Final = f"""
UPDATE inbox AS old SET done_at = clock_timestamp(), outcome = 'overtaken', parked_at = NULL
WHERE reaction = $1 AND done_at IS NULL AND record IS NULL AND due_at <= clock_timestamp()
    AND {_FREE} AND EXISTS (
        SELECT FROM inbox AS later
        WHERE later.reaction = old.reaction AND later.tenant = old.tenant
            AND later.subject = old.subject AND later.due_at <= clock_timestamp()
            AND (later.due_at, later.occurred_at, later.event_id)
                > (old.due_at, old.occurred_at, old.event_id)
    )
"""  # noqa: S608 -- a constant

_FIRST: Final = """
NOT EXISTS (
    SELECT FROM inbox AS earlier
    WHERE earlier.reaction = one.reaction AND earlier.tenant = one.tenant
        AND earlier.subject = one.subject AND earlier.done_at IS NULL
        AND (earlier.due_at, earlier.occurred_at, earlier.event_id)
            < (one.due_at, one.occurred_at, one.event_id)
)
AND ($2 OR NOT EXISTS (
    SELECT FROM inbox AS unread
    WHERE unread.reaction = one.reaction AND unread.tenant = one.tenant
        AND unread.stream = one.stream AND unread.done_at IS NULL AND unread.record IS NOT NULL
        AND unread.sequence < one.sequence
))
"""

_CLAIM: Final = f"""
WITH ready AS (
    SELECT reaction, tenant, event_id FROM inbox AS one
    WHERE reaction = $1 AND done_at IS NULL AND parked_at IS NULL
        AND due_at <= clock_timestamp() AND {_FREE}
        AND (retry_at IS NULL OR retry_at <= clock_timestamp()) AND {_FIRST}
    ORDER BY due_at, occurred_at, event_id LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE inbox SET claimed_until = clock_timestamp() + $4::interval, attempts = attempts + 1,
    fence = fence + 1
FROM ready
WHERE inbox.reaction = ready.reaction AND inbox.tenant = ready.tenant
    AND inbox.event_id = ready.event_id
RETURNING inbox.*
"""  # noqa: S608 -- constants

_NEXT: Final = f"""
SELECT extract(epoch FROM
    min(greatest(due_at, retry_at, claimed_until)) - clock_timestamp())::double precision
FROM inbox AS one
WHERE reaction = $1 AND done_at IS NULL AND parked_at IS NULL AND {_FIRST}
"""  # noqa: S608 -- constants

_CLOSE: Final = """
UPDATE inbox SET {changes}
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND fence = $4 AND done_at IS NULL
"""
_COMPLETE: Final = _CLOSE.format(
    changes="done_at = clock_timestamp(), outcome = 'done', error = NULL, claimed_until = NULL"
)
_FAIL: Final = _CLOSE.format(
    changes="""retry_at = clock_timestamp() + $5::interval, error = $6, claimed_until = NULL,
    parked_at = CASE WHEN $7 THEN clock_timestamp() END"""
)
_REMOVE: Final = """
DELETE FROM inbox
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND fence = $4 AND done_at IS NULL
"""

_PARKED_ONE: Final = """
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND parked_at IS NOT NULL AND done_at IS NULL
"""
_RETRY: Final = f"UPDATE inbox SET parked_at = NULL, retry_at = NULL, attempts = 0 {_PARKED_ONE}"  # noqa: S608
_DROP: Final = f"""
UPDATE inbox SET done_at = clock_timestamp(), outcome = 'dropped', parked_at = NULL {_PARKED_ONE}
"""  # noqa: S608 -- a constant

_LIST: Final = """
SELECT reaction, tenant, event_id, subject, type, attempts, error, parked_at IS NOT NULL AS parked,
    coalesce(parked_at, due_at) AS since
FROM inbox
WHERE done_at IS NULL AND (parked_at IS NOT NULL OR due_at <= clock_timestamp() - $1::interval)
ORDER BY parked_at IS NULL, coalesce(parked_at, due_at), event_id
LIMIT $2
"""

_BACKLOG: Final = """
SELECT count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked,
    coalesce(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (
        WHERE parked_at IS NULL AND due_at <= clock_timestamp()
            AND NOT EXISTS (
                SELECT FROM inbox AS parked
                WHERE parked.reaction = one.reaction AND parked.tenant = one.tenant
                    AND parked.subject = one.subject AND parked.done_at IS NULL
                    AND parked.parked_at IS NOT NULL
            )
            AND NOT EXISTS (
                SELECT FROM inbox AS unread
                WHERE unread.reaction = one.reaction AND unread.tenant = one.tenant
                    AND unread.stream = one.stream AND unread.done_at IS NULL
                    AND unread.record IS NOT NULL AND unread.parked_at IS NOT NULL
                    AND unread.sequence < one.sequence
            )
    )), 0)::double precision AS oldest_seconds
FROM inbox AS one WHERE reaction = $1 AND done_at IS NULL
"""


async def store(connection: Any, reaction: str, messages: Sequence[InboxMessage]) -> None:
    """Add messages in their order; a message that is stored already stays as it is."""
    if not messages:
        return
    names = (*_FIELDS, *_MORE_FIELDS)
    columns = [[getattr(message, name) for message in messages] for name in names]
    records = [None if one.record is None else _encode(one.record).decode() for one in messages]
    await connection.execute(_STORE, reaction, *columns, records)


async def claim(
    connection: Any,
    reaction: str,
    *,
    limit: int,
    latest_wins: bool,
    lease: timedelta = LEASE,
) -> Sequence[InboxMessage]:
    """Claim messages that are due and first of their ordering key, for the duration of `lease`."""
    async with connection.transaction():
        if latest_wins:
            await connection.execute(_SKIP, reaction)
        rows = await connection.fetch(_CLAIM, reaction, latest_wins, limit, lease)
    return [_message(row) for row in rows]


async def seconds_to_next(connection: Any, reaction: str, *, latest_wins: bool) -> float | None:
    """The seconds until a message can be claimed; None if no message waits."""
    seconds: float | None = await connection.fetchval(_NEXT, reaction, latest_wins)
    return seconds


async def complete(connection: Any, reaction: str, message: InboxMessage) -> None:
    """Finish a claimed message. Raises ClaimLost.

    In a transaction the message stays locked until that ends, so the other writes of the
    transaction happen exactly once.
    """
    _require_one(await connection.execute(_COMPLETE, *_claim_key(reaction, message)))


async def fail(
    connection: Any,
    reaction: str,
    message: InboxMessage,
    error: str,
    *,
    retry_in: timedelta,
    park: bool,
) -> None:
    """Release a claim after a failure: retry later, or park the message. Raises ClaimLost."""
    error = error.replace("\0", "").encode(errors="replace").decode()
    _require_one(
        await connection.execute(_FAIL, *_claim_key(reaction, message), retry_in, error, park)
    )


async def replace(
    connection: Any, reaction: str, message: InboxMessage, read: InboxMessage | None
) -> None:
    """Replace a claimed, unreadable record by the message it was `read` as; None deletes it.

    Call it in a transaction. Raises ClaimLost.
    """
    _require_one(await connection.execute(_REMOVE, *_claim_key(reaction, message)))
    await store(connection, reaction, [read] if read else [])


async def retry(connection: Any, reaction: str, tenant: str, event_id: UUID) -> bool:
    """Let the worker try a parked message again. Returns False if there is no such message."""
    return bool(await connection.execute(_RETRY, reaction, tenant, event_id) == "UPDATE 1")


async def drop(connection: Any, reaction: str, tenant: str, event_id: UUID) -> bool:
    """Drop a parked message, which unblocks the next ones. Returns False if there is none."""
    return bool(await connection.execute(_DROP, reaction, tenant, event_id) == "UPDATE 1")


async def backlog(connection: Any, reaction: str) -> Backlog:
    """The backlog of all tenants that the connection sees."""
    return Backlog(**dict(await connection.fetchrow(_BACKLOG, reaction)))


async def count_unreadable(connection: Any, reaction: str) -> int:
    """The number of unfinished records that could not be read."""
    query = (
        "SELECT count(*) FROM inbox WHERE reaction = $1 AND done_at IS NULL AND record IS NOT NULL"
    )
    return int(await connection.fetchval(query, reaction))


async def list_waiting(
    connection: Any, *, longer_than: timedelta, limit: int = 1000
) -> Sequence[Mapping[str, Any]]:
    """Parked messages, then messages that have been due for longer than `longer_than`."""
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(_LIST, longer_than, limit)
    return rows


async def forget(connection: Any, after: timedelta) -> None:
    """Delete messages that were finished longer ago than `after`."""
    query = "DELETE FROM inbox WHERE done_at < clock_timestamp() - $1::interval"
    await connection.execute(query, after)


_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(RawRecord).decode


def _claim_key(reaction: str, message: InboxMessage) -> tuple[str, str, UUID, int]:
    return reaction, message.tenant, message.event_id, message.fence


def _require_one(status: str) -> None:
    if not status.endswith(" 1"):
        raise ClaimLost


def _message(row: Mapping[str, Any]) -> InboxMessage:
    unchanged = (*_FIELDS, "metadata", "occurred_at", "recorded_at", "error", "attempts", "fence")
    return InboxMessage(
        **{name: row[name] for name in unchanged},
        ordering_key=row["subject"],
        run_at=row["due_at"],
        record=None if row["record"] is None else _decode_record(row["record"]),
    )
