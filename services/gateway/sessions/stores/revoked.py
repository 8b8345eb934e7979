"""Revoked sessions, stored at once for the other processes of the gateway."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from libs.http import revoked_sessions
from libs.http.revocations import MARGIN, Revocations
from libs.http.revoked_sessions import Loaded
from libs.postgres import query
from libs.postgres.doorbell import REVOKED, Doorbell
from libs.postgres.pool import Pool
from libs.process.context import Context
from libs.process.periodic import Periodic
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.settings import Settings

FORGET_SECONDS: Final = 3600.0

# After a crash between event and row there is the event only.
_UNSTORED: Final = """
SELECT session_id::text, revoked_at FROM session
WHERE tenant = $1 AND revoked_at > now() - $2::interval AND NOT EXISTS (
    SELECT FROM revoked_session AS stored WHERE stored.session_id = session.session_id::text
)
"""


def make_revocations(settings: Settings, pool: Pool, doorbell: Doorbell) -> Revocations:
    """The cache of revoked sessions. An entry stays as long as tokens of its session may live."""
    longest = max(settings.access_lifetimes.values())
    return Revocations(partial(load, pool, longest + MARGIN), doorbell, longest=longest)


def announcer(
    revocations: Revocations, pool: Pool, doorbell: Doorbell
) -> Callable[[str, datetime], Awaitable[None]]:
    """The function that makes a revoked session known in this process and all others.

    It is safe to repeat, and raises Unavailable.
    """

    async def announce(session_id: str, revoked_at: datetime) -> None:
        revocations.remember(session_id, revoked_at)
        await revoked_sessions.add(pool, [(session_id, revoked_at)], kept=revocations.retention)
        doorbell.ring(REVOKED)

    return announce


def expiry(context: Context[Settings, Any]) -> Periodic:
    """The job that deletes revoked sessions whose tokens have all expired."""
    delete = partial(revoked_sessions.delete_expired, context.system)
    return Periodic("revoked sessions", delete, FORGET_SECONDS)


async def load(pool: Pool, kept: timedelta, seen: str) -> Loaded:
    """Load the revoked sessions: see `libs.http.revoked_sessions.load`.

    The age is 0: the gateway reads its own events, and is up to date whenever it can read.
    """
    loaded = await revoked_sessions.load(pool, seen)
    rows: Sequence[Any] = await query.fetch(pool, _UNSTORED, PLATFORM, kept)
    sessions: Mapping[str, datetime] = {row["session_id"]: row["revoked_at"] for row in rows}
    return replace(loaded, sessions={**sessions, **loaded.sessions}, age=timedelta())
