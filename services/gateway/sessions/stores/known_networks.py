"""Networks from which an account has logged in before, as keyed digests.

A network is remembered for 90 days after the last login, in the table of `libs.postgres.attempts`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from libs.postgres.pool import Connection, Pool, acquire, skip_session_reset
from libs.postgres.retention import prune

KIND: Final = "known network"
KEPT_FOR: Final = timedelta(days=90)
RENEWED_AFTER: Final = timedelta(days=1)
KNOWN: Final = """
    SELECT who, until FROM one_time_count WHERE kind = $1 AND who = ANY($2) AND until > $3"""
REMEMBER: Final = """
    INSERT INTO one_time_count AS known (kind, who, count, until)
    SELECT $1, who, 1, $3 FROM unnest($2::text[]) AS given (who) ORDER BY who
    ON CONFLICT (kind, who) DO UPDATE SET until = excluded.until
    WHERE known.until < excluded.until - $4::interval"""


async def known(pool: Pool, digests: Collection[str], now: datetime) -> Mapping[str, bool]:
    """The known digests. The value is True if it was remembered lately and needs no renewal.

    Raises Unavailable.
    """
    async with acquire(pool) as connection:
        skip_session_reset(connection)
        return await known_on(connection, digests, now)


async def known_on(
    connection: Connection, digests: Collection[str], now: datetime
) -> Mapping[str, bool]:
    """Like `known`, in the caller's transaction."""
    rows = await connection.fetch(KNOWN, KIND, list(digests), now)
    lately = now + KEPT_FOR - RENEWED_AFTER
    return {row["who"]: row["until"] >= lately for row in rows}


async def remember(pool: Pool, digests: Collection[str], now: datetime) -> None:
    """Remember the digests from now on. Raises Unavailable; safe to repeat."""
    async with acquire(pool) as connection:
        skip_session_reset(connection)
        await remember_on(connection, digests, now)
        await prune(connection, "one_time_count", "until", now)


async def remember_on(connection: Connection, digests: Collection[str], now: datetime) -> None:
    """Like `remember`, in the caller's transaction."""
    who = list({*digests})
    await connection.execute(REMEMBER, KIND, who, now + KEPT_FOR, RENEWED_AFTER)
