"""The inbox: what came for a reaction and is still to be done, or was.

Arrivals are kept in the transaction that moves the reader's checkpoint, each once, and wait for
their time. Those of one subject are done one after the other: by their time, then by when they
happened. Where the latest wins, an earlier one is not done at all once a later one's time has come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

LEASE: Final = timedelta(minutes=1)
"""How long one who does an arrival may take before somebody else does it."""

TABLE: Final = """
CREATE TABLE inbox (
    reaction text NOT NULL,
    tenant text NOT NULL,
    event_id uuid NOT NULL,
    stream text NOT NULL,
    version integer,
    type text NOT NULL,
    schema_version smallint NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    subject text NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    retry_at timestamptz,
    error text,
    parked_at timestamptz,
    done_at timestamptz,
    outcome text,
    PRIMARY KEY (reaction, tenant, event_id)
) WITH (fillfactor = 70)"""

INDEXES: Final = (
    """CREATE INDEX inbox_waiting ON inbox (reaction, due_at, occurred_at, event_id)
        WHERE done_at IS NULL""",
    "CREATE INDEX inbox_subject ON inbox (reaction, tenant, subject, due_at)",
    "CREATE INDEX inbox_done ON inbox (done_at) WHERE done_at IS NOT NULL",
)


class Operations(Protocol):
    """The part of Alembic's `op` that is used here."""

    def execute(self, sqltext: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An event on its way into the inbox, or out of it. `attempts` counts the present one."""

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
    subject: str
    due_at: datetime
    attempts: int = 0
    claimed_until: datetime | None = None


_COLUMNS: Final = """tenant, event_id, stream, version, type, schema_version, data, metadata,
    occurred_at, recorded_at, subject, due_at"""
_GIVEN: Final = tuple(name.strip() for name in _COLUMNS.split(","))

_TAKE: Final = f"""
INSERT INTO inbox (reaction, {_COLUMNS})
SELECT $1, tenant, event_id, stream, version, type, schema_version, data::jsonb, metadata::jsonb,
    occurred_at, recorded_at, subject, due_at
FROM unnest($2::text[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::smallint[],
    $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::text[],
    $13::timestamptz[]) AS given ({_COLUMNS}) ORDER BY tenant, event_id
ON CONFLICT DO NOTHING
"""  # noqa: S608 -- names of columns

# Not what is being done: who does it cannot be told any more.
_OVERTAKE: Final = """
UPDATE inbox AS old SET done_at = $2, outcome = 'overtaken', parked_at = NULL
WHERE reaction = $1 AND done_at IS NULL AND due_at <= $2
    AND (claimed_until IS NULL OR claimed_until <= $2)
    AND EXISTS (
        SELECT FROM inbox AS later
        WHERE later.reaction = old.reaction AND later.tenant = old.tenant
            AND later.subject = old.subject AND later.due_at <= $2
            AND (later.due_at, later.occurred_at, later.event_id)
                > (old.due_at, old.occurred_at, old.event_id)
    )
"""

_CLAIM: Final = """
WITH ready AS (
    SELECT reaction, tenant, event_id FROM inbox AS one
    WHERE reaction = $1 AND done_at IS NULL AND parked_at IS NULL AND due_at <= $2
        AND (retry_at IS NULL OR retry_at <= $2)
        AND (claimed_until IS NULL OR claimed_until <= $2)
        AND NOT EXISTS (
            SELECT FROM inbox AS earlier
            WHERE earlier.reaction = one.reaction AND earlier.tenant = one.tenant
                AND earlier.subject = one.subject AND earlier.done_at IS NULL
                AND (earlier.due_at, earlier.occurred_at, earlier.event_id)
                    < (one.due_at, one.occurred_at, one.event_id)
        )
    ORDER BY due_at, occurred_at, event_id LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE inbox SET claimed_until = $4, attempts = attempts + 1
FROM ready
WHERE inbox.reaction = ready.reaction AND inbox.tenant = ready.tenant
    AND inbox.event_id = ready.event_id
RETURNING inbox.*
"""

_ENDED: Final = """
UPDATE inbox SET {what}
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND claimed_until = $4 AND done_at IS NULL
"""
_DONE: Final = _ENDED.format(
    what="done_at = $5, outcome = 'done', error = NULL, claimed_until = NULL"
)
_FAILED: Final = _ENDED.format(
    what="retry_at = $5, error = $6, parked_at = $7::timestamptz, claimed_until = NULL"
)

_RETRY: Final = """
UPDATE inbox SET parked_at = NULL, retry_at = NULL, attempts = 0
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND parked_at IS NOT NULL
    AND done_at IS NULL
"""
_DROP: Final = """
UPDATE inbox SET done_at = $4, outcome = 'dropped', parked_at = NULL
WHERE reaction = $1 AND tenant = $2 AND event_id = $3 AND parked_at IS NOT NULL
    AND done_at IS NULL
"""
_LIST: Final = """
SELECT reaction, tenant, event_id, subject, type, attempts, parked_at, error FROM inbox
WHERE done_at IS NULL AND parked_at IS NOT NULL ORDER BY parked_at, event_id
"""
_PARKED: Final = """
SELECT count(*) FROM inbox WHERE reaction = $1 AND done_at IS NULL AND parked_at IS NOT NULL
"""


def create_inbox(op: Operations, *, application_role: str) -> None:
    """Create the table in the current schema and let the role work on it.

    Row-level security is the caller's to switch on, like for every table with a tenant.
    """
    for statement in (TABLE, *INDEXES):
        op.execute(statement)
    op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON inbox TO "{application_role}"')


def drop_inbox(op: Operations) -> None:
    """Undo `create_inbox`, losing what is still to be done."""
    op.execute("DROP TABLE inbox")


async def take(connection: Any, reaction: str, arrivals: Sequence[Arrival]) -> None:
    """Keep what arrived; what was there before, done or not, stays as it is."""
    if arrivals:
        columns = ([getattr(arrival, name) for arrival in arrivals] for name in _GIVEN)
        await connection.execute(_TAKE, reaction, *columns)


async def claim(
    connection: Any, reaction: str, now: datetime, *, limit: int, latest_wins: bool
) -> Sequence[Arrival]:
    """Arrivals whose time and turn have come, ours for `LEASE`."""
    async with connection.transaction():
        if latest_wins:
            await connection.execute(_OVERTAKE, reaction, now)
        rows = await connection.fetch(_CLAIM, reaction, now, limit, now + LEASE)
    return [_arrival(row) for row in rows]


async def done(connection: Any, reaction: str, arrival: Arrival, now: datetime) -> None:
    """It is done, unless somebody else has taken it over."""
    await connection.execute(_DONE, *_which(reaction, arrival), arrival.claimed_until, now)


async def failed(
    connection: Any,
    reaction: str,
    arrival: Arrival,
    error: str,
    *,
    retry_at: datetime,
    parked_at: datetime | None,
) -> None:
    """It is to be tried again, or not until somebody says so."""
    ours = (*_which(reaction, arrival), arrival.claimed_until)
    await connection.execute(_FAILED, *ours, retry_at, error.replace("\0", ""), parked_at)


async def retry(connection: Any, reaction: str, tenant: str, event_id: UUID) -> bool:
    """Try a parked arrival again; whether there was one."""
    return bool(await connection.execute(_RETRY, reaction, tenant, event_id) == "UPDATE 1")


async def drop(connection: Any, reaction: str, tenant: str, event_id: UUID, now: datetime) -> bool:
    """Give a parked arrival up, so that those behind it go on; whether there was one."""
    return bool(await connection.execute(_DROP, reaction, tenant, event_id, now) == "UPDATE 1")


async def parked(connection: Any, reaction: str) -> int:
    """How many are parked, of all tenants the connection sees."""
    return int(await connection.fetchval(_PARKED, reaction))


async def list_parked(connection: Any) -> Sequence[Mapping[str, Any]]:
    """Everything parked, the longest first, with why."""
    found: Sequence[Mapping[str, Any]] = await connection.fetch(_LIST)
    return found


async def forget(connection: Any, before: datetime) -> None:
    """Delete what was done so long ago."""
    await connection.execute("DELETE FROM inbox WHERE done_at < $1", before)


def _which(reaction: str, arrival: Arrival) -> tuple[str, str, UUID]:
    return reaction, arrival.tenant, arrival.event_id


def _arrival(row: Mapping[str, Any]) -> Arrival:
    return Arrival(**{name: row[name] for name in (*_GIVEN, "attempts", "claimed_until")})
