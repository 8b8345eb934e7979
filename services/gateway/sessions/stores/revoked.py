"""Revoked sessions, stored at once for the other processes of the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from libs.http import revoked_sessions
from libs.http.revoked_sessions import Loaded
from libs.postgres.pool import Pool, acquire
from services.gateway.accounts.domain.realm import PLATFORM

# After a crash between event and row there is the event only.
_UNSTORED: Final = """
SELECT session_id::text, revoked_at FROM session
WHERE tenant = $1 AND revoked_at > now() - $2::interval AND NOT EXISTS (
    SELECT FROM revoked_session AS stored WHERE stored.session_id = session.session_id::text
)
"""


async def add(pool: Pool, session_id: str, revoked_at: datetime, *, kept: timedelta) -> None:
    """Store a revoked session for the other processes. Safe to repeat. Raises Unavailable."""
    await revoked_sessions.add(pool, [(session_id, revoked_at)], kept=kept)


async def load(pool: Pool, kept: timedelta, seen: str) -> Loaded:
    """Load the revoked sessions: see `libs.http.revoked_sessions.load`.

    The age is 0: the gateway reads its own events, and is up to date whenever it can read.
    """
    loaded = await revoked_sessions.load(pool, seen)
    async with acquire(pool) as connection:
        rows: Sequence[Any] = await connection.fetch(_UNSTORED, PLATFORM, kept)
    sessions: Mapping[str, datetime] = {row["session_id"]: row["revoked_at"] for row in rows}
    return replace(loaded, sessions={**sessions, **loaded.sessions}, age=timedelta())
