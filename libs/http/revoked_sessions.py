"""The table of revoked sessions in the schema of a service, and until when it is complete.

No tenant has rows in it, and it holds nothing of a person: sessions are random ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from libs.postgres.pool import Pool, acquire
from libs.postgres.rls import Migration, enable_system_rls, grant

TABLES: Final = (
    """CREATE TABLE revoked_session (
        session_id text PRIMARY KEY,
        revoked_at timestamptz NOT NULL,
        until timestamptz NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )""",
    "CREATE INDEX revoked_session_xid ON revoked_session (xid)",
    """CREATE TABLE revocations_level (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        level_at timestamptz NOT NULL DEFAULT 'epoch'
    ) WITH (fillfactor = 50)""",
    "INSERT INTO revocations_level DEFAULT VALUES",
)
"""`until` is when no token of the session can live any more. All revocations that were published by
`level_at` are in the table."""

FROM_START: Final = "0"

_ADD: Final = """
INSERT INTO revoked_session AS known (session_id, revoked_at, until)
SELECT session_id, revoked_at, revoked_at + $3::interval
FROM unnest($1::text[], $2::timestamptz[]) AS given (session_id, revoked_at) ORDER BY session_id
ON CONFLICT (session_id) DO UPDATE
SET revoked_at = excluded.revoked_at, until = excluded.until, xid = pg_current_xact_id()
WHERE excluded.until > known.until
RETURNING session_id
"""

# Rows that the last reading missed are of transactions it saw running, or of later ones.
_LOAD: Final = """
SELECT extract(epoch FROM now() - level_at)::float8 AS age, session_id, revoked_at,
    pg_snapshot_xmin(pg_current_snapshot())::text AS seen
FROM revocations_level
LEFT JOIN revoked_session ON xid >= $1::text::xid8 AND until > now()
"""

_LEVEL: Final = """
UPDATE revocations_level SET level_at = greatest(level_at, now() - $1::interval)
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Sessions and when they were revoked, how old the knowledge behind them is, and the place to
    load from the next time."""

    sessions: Mapping[str, datetime]
    age: timedelta
    seen: str


def create_revoked_sessions(op: Migration) -> None:
    """Create the tables in the current schema, seen in system scope only."""
    for statement in TABLES:
        op.execute(statement)
    for table in ("revoked_session", "revocations_level"):
        enable_system_rls(op, table)
    grant(op, "revoked_session", "SELECT", "INSERT", "UPDATE", "DELETE")
    grant(op, "revocations_level", "SELECT", "UPDATE")


def drop_revoked_sessions(op: Migration) -> None:
    """Undo `create_revoked_sessions`: sessions revoked lately are believed again meanwhile."""
    op.execute("DROP TABLE revocations_level")
    op.execute("DROP TABLE revoked_session")


async def add(
    pool: Pool, sessions: Iterable[tuple[str, datetime]], *, kept: timedelta
) -> Sequence[str]:
    """Store sessions with the moments they were revoked at; those that were not known before.

    `kept` is how long a token may live after that. Safe to repeat. Raises Unavailable.
    """
    # One session may be named twice, which one statement does not allow.
    latest: dict[str, datetime] = {}
    for session, revoked_at in sessions:
        latest[session] = max(revoked_at, latest.get(session, revoked_at))
    if not latest:
        return []
    async with acquire(pool) as connection:
        rows = await connection.fetch(_ADD, list(latest), list(latest.values()), kept)
    return [row["session_id"] for row in rows]


async def load(pool: Pool, seen: str = FROM_START) -> Loaded:
    """The sessions whose tokens may live, of which `seen` may not know. Raises Unavailable."""
    async with acquire(pool) as connection:
        rows: Sequence[Any] = await connection.fetch(_LOAD, seen)
    sessions = {row["session_id"]: row["revoked_at"] for row in rows if row["session_id"]}
    return Loaded(sessions, timedelta(seconds=rows[0]["age"]), rows[0]["seen"])


async def set_level(pool: Pool, ago: timedelta) -> None:
    """All that was published so long ago is in the table. Raises Unavailable."""
    async with acquire(pool) as connection:
        await connection.execute(_LEVEL, ago)


async def forget(pool: Pool) -> None:
    """Delete sessions of which no token can live. Raises Unavailable."""
    async with acquire(pool) as connection:
        await connection.execute("DELETE FROM revoked_session WHERE until < now()")
