"""How often something was tried: counted in the database, so that no process can be tried alone."""

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from libs.postgres.pool import Pool, acquired

TAKE: Final = """
    INSERT INTO one_time_count AS known (kind, who, count, until) VALUES ($1, $2, 1, $3)
    ON CONFLICT (kind, who) DO UPDATE
    SET count = CASE WHEN known.until <= $4 THEN 1 ELSE known.count + 1 END,
        until = CASE WHEN known.until <= $4 THEN excluded.until ELSE known.until END
    RETURNING count, until"""
GIVE_BACK: Final = """
    UPDATE one_time_count SET count = greatest(count - 1, 0) WHERE kind = $1 AND who = $2"""


async def take(
    pool: Pool, kind: str, who: str, *, most: int, window: timedelta, now: datetime
) -> int | None:
    """Count one try of `who`, a digest; the seconds to wait if that was one too many, else None.

    The window begins with the first try. Raises Unavailable, and then nothing was counted.
    """
    async with acquired(pool) as connection:
        row = await connection.fetchrow(TAKE, kind, who, now + window, now)
    if row is None or row["count"] <= most:
        return None
    until: datetime = row["until"]
    return max(1, ceil((until - now).total_seconds()))


async def give_back(pool: Pool, kind: str, who: str) -> None:
    """That try was right, and does not count. Raises Unavailable."""
    async with acquired(pool) as connection:
        await connection.execute(GIVE_BACK, kind, who)
