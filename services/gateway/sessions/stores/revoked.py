"""Sessions revoked here, stored at once for the other processes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from libs.http import revoked_sessions
from libs.http.revoked_sessions import Loaded
from libs.postgres.pool import Pool, acquire
from services.gateway.accounts.domain.realm import PLATFORM

# A process that died between the event and the row left the event only.
_UNSTORED: Final = """
SELECT session_id::text, revoked_at FROM session
WHERE tenant = $1 AND revoked_at > now() - $2::interval AND NOT EXISTS (
    SELECT FROM revoked_session AS stored WHERE stored.session_id = session.session_id::text
)
"""


async def add(pool: Pool, session_id: str, revoked_at: datetime, *, kept: timedelta) -> None:
    """Store a session that is over, for the other processes. Safe to repeat. Raises Unavailable."""
    await revoked_sessions.add(pool, [(session_id, revoked_at)], kept=kept)


async def load(pool: Pool, kept: timedelta, seen: str) -> Loaded:
    """Compare `libs.http.revoked_sessions.load`. The gateway is level as long as it can ask."""
    loaded = await revoked_sessions.load(pool, seen)
    async with acquire(pool) as connection:
        rows: Sequence[Any] = await connection.fetch(_UNSTORED, PLATFORM, kept)
    sessions: Mapping[str, datetime] = {row["session_id"]: row["revoked_at"] for row in rows}
    return replace(loaded, sessions={**sessions, **loaded.sessions}, age=timedelta())
