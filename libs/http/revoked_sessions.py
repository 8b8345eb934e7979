"""The table of revoked sessions in a service's schema, and the moment up to which it is complete.

Its rows belong to no tenant and contain no personal data: sessions are random ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from libs.postgres import query
from libs.postgres.pool import Pool
from libs.postgres.rls import Migration, create_system_tables

SESSIONS: Final = {
    "revoked_session": """(
        session_id text PRIMARY KEY,
        revoked_at timestamptz NOT NULL,
        until timestamptz NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )"""
}
INDEX: Final = "CREATE INDEX revoked_session_xid ON revoked_session (xid)"
LEVEL: Final = {
    "revocations_level": """(
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        level_at timestamptz NOT NULL DEFAULT 'epoch'
    ) WITH (fillfactor = 50)"""
}
FIRST_LEVEL: Final = "INSERT INTO revocations_level DEFAULT VALUES"
"""At `until` every token of the session has expired. All revocations that were published before
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

# Rows that the last load missed are of transactions that were running then, or of later ones.
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
    """Sessions with the times of their revocation, the age of `level_at`, and the transaction id to
    load from the next time.
    """

    sessions: Mapping[str, datetime]
    age: timedelta
    seen: str


def create_revoked_sessions(op: Migration) -> None:
    """Create the tables in the current schema, visible in system scope only."""
    create_system_tables(op, SESSIONS, [INDEX])
    create_system_tables(op, LEVEL, [FIRST_LEVEL], rights=("SELECT", "UPDATE"))


async def add(
    pool: Pool, sessions: Iterable[tuple[str, datetime]], *, kept: timedelta
) -> Sequence[str]:
    """Store sessions with the times of their revocation; returns those that are new.

    `kept` is the longest life of a token after that. Safe to repeat. Raises Unavailable.
    """
    # A session may occur twice, which one statement does not allow.
    latest: dict[str, datetime] = {}
    for session, revoked_at in sessions:
        latest[session] = max(revoked_at, latest.get(session, revoked_at))
    if not latest:
        return []
    rows = await query.fetch(pool, _ADD, list(latest), list(latest.values()), kept)
    return [row["session_id"] for row in rows]


async def load(pool: Pool, seen: str = FROM_START) -> Loaded:
    """The revoked sessions whose tokens may still live, without those before `seen`. Raises
    Unavailable."""
    rows: Sequence[Any] = await query.fetch(pool, _LOAD, seen)
    sessions = {row["session_id"]: row["revoked_at"] for row in rows if row["session_id"]}
    return Loaded(sessions, timedelta(seconds=rows[0]["age"]), rows[0]["seen"])


async def set_level(pool: Pool, ago: timedelta) -> None:
    """Record that all revocations published before `ago` are in the table. Raises Unavailable."""
    await query.execute(pool, _LEVEL, ago)


async def delete_expired(pool: Pool) -> None:
    """Delete sessions whose tokens have all expired. Raises Unavailable."""
    await query.execute(pool, "DELETE FROM revoked_session WHERE until < now()")
