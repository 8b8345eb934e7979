"""Sessions by account, recorded before they begin, so that all of them can be revoked.

The read model of sessions follows the log by moments, and the log is not searched by account. A row
says that a session may be there; whether it is, and still opens something, its stream says.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from contracts.gateway import AccountId, SessionId
from libs.postgres.pool import Pool, acquire, skip_session_reset
from services.gateway.accounts.domain.realm import PLATFORM

LONG_OVER: Final = timedelta(days=1)
"""So far no read model lags behind: what it shows to be over for longer is."""

BEGIN: Final = """
    INSERT INTO begun_session (tenant, account_id, session_id, begun_at)
    SELECT $1::text, $2::uuid, $3::uuid, $4::timestamptz
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS commit
    ON CONFLICT DO NOTHING"""
"""Its commit does not wait for the disk, as it counts only together with the session: that is
written to the log after it, and when that is on the disk, so is what came before."""
FORGET: Final = """
    DELETE FROM begun_session AS begun USING session AS shown
    WHERE begun.tenant = $1 AND begun.account_id = $2
    AND shown.tenant = begun.tenant AND shown.session_id = begun.session_id
    AND (shown.revoked_at IS NOT NULL OR shown.expires_at < $5)"""
FORGET_AND_BEGIN: Final = f"WITH forgotten AS ({FORGET}) {BEGIN}"
ONE_IN: Final = 16
"""So seldom an account's rows are gone through: it takes as long as there are many, at a login."""
OF_ACCOUNT: Final = """
    SELECT session_id FROM begun_session WHERE tenant = $1 AND account_id = $2
    ORDER BY begun_at DESC, session_id"""


async def begin(pool: Pool, account_id: AccountId, session_id: SessionId, now: datetime) -> None:
    """Say that the session is about to be opened; forget those long over, now and then. May repeat.

    To be committed before the session stands in the log. Raises Unavailable.
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
    """The sessions that the account began, newest first; some may never have been opened, or be
    over. Raises Unavailable.
    """
    async with acquire(pool) as connection:
        rows = await connection.fetch(OF_ACCOUNT, PLATFORM, account_id)
    return [SessionId(row["session_id"]) for row in rows]
