"""Sessions by account, recorded before they are opened, so that all of them can be revoked.

The read model of sessions lags behind the log, and the log is not indexed by account. A row says
that a session may exist; its stream says whether it does and is live.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from contracts.gateway import AccountId, SessionId
from libs.postgres import query
from libs.postgres.pool import Pool, acquire, skip_session_reset
from services.gateway.accounts.domain.realm import PLATFORM

LONG_OVER: Final = timedelta(days=1)
"""More than a read model ever lags: a session that it shows as expired for longer has expired."""

BEGIN: Final = """
    INSERT INTO begun_session (tenant, account_id, session_id, begun_at)
    SELECT $1::text, $2::uuid, $3::uuid, $4::timestamptz
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS commit
    ON CONFLICT DO NOTHING"""
"""The commit does not wait for the disk. The row matters only with the session, which is written to
the log later: once that is on disk, so is everything before."""
FORGET: Final = """
    DELETE FROM begun_session AS begun USING session AS listed
    WHERE begun.tenant = $1 AND begun.account_id = $2
    AND listed.tenant = begun.tenant AND listed.session_id = begun.session_id
    AND (listed.revoked_at IS NOT NULL OR listed.expires_at < $5)"""
FORGET_AND_BEGIN: Final = f"WITH forgotten AS ({FORGET}) {BEGIN}"
ONE_IN: Final = 16
"""One login in so many deletes old rows of the account, which takes time in proportion to them."""
OF_ACCOUNT: Final = """
    SELECT session_id FROM begun_session WHERE tenant = $1 AND account_id = $2
    ORDER BY begun_at DESC, session_id"""


async def begin(pool: Pool, account_id: AccountId, session_id: SessionId, now: datetime) -> None:
    """Record a session before it is opened; sometimes delete old rows. Safe to repeat.

    Must be committed before the session is appended to the log. Raises Unavailable.
    """
    begun = PLATFORM, account_id, session_id, now
    async with acquire(pool) as connection:
        skip_session_reset(connection)
        # The end of an id is random.
        if session_id.int % ONE_IN == 0:
            await connection.execute(FORGET_AND_BEGIN, *begun, now - LONG_OVER)
        else:
            await connection.execute(BEGIN, *begun)


async def of_account(pool: Pool, account_id: AccountId) -> Sequence[SessionId]:
    """The recorded sessions of the account, newest first. Some may never have been opened, or be
    over. Raises Unavailable.
    """
    rows = await query.fetch(pool, OF_ACCOUNT, PLATFORM, account_id)
    return [SessionId(row["session_id"]) for row in rows]
