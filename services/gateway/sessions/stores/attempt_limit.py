"""Counters of attempts in the database, shared by all processes.

`who` is the digest of what is counted for, `kind` names the counter.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Final, TypeAlias

from libs.postgres.pool import Connection, Pool, acquire
from services.gateway.sessions.domain.allowance import Allowance, TooMany, too_many

TAKE: Final = """
    INSERT INTO one_time_count AS known (kind, who, count, until) VALUES ($1, $2, 1, $3)
    ON CONFLICT (kind, who) DO UPDATE
    SET count = CASE WHEN known.until <= $4 THEN 1 ELSE known.count + 1 END,
        until = CASE WHEN known.until <= $4 THEN excluded.until ELSE known.until END
    RETURNING count, until"""
TAKE_WITHIN: Final = """
    INSERT INTO one_time_count AS known (kind, who, count, until) VALUES ($1, $2, 1, $3)
    ON CONFLICT (kind, who) DO UPDATE
    SET count = CASE WHEN known.until <= $4 THEN 1 ELSE known.count + 1 END,
        until = CASE WHEN known.until <= $4 THEN excluded.until ELSE known.until END
    WHERE known.until <= $4 OR known.count < $5
    RETURNING count"""
TAKE_GRANTED: Final = """
    UPDATE one_time_count SET count = count + 1
    WHERE kind = $1 AND who = $2 AND count < $3 AND until > $4 RETURNING count"""
USED_UP: Final = """
    SELECT until FROM one_time_count
    WHERE kind = $1 AND who = $2 AND count >= $3 AND until > $4"""
HAS_GRANTED: Final = """
    SELECT 1 FROM one_time_count
    WHERE kind = $1 AND who = $2 AND count < $3 AND until > $4"""
GRANT: Final = """
    INSERT INTO one_time_count (kind, who, count, until) VALUES ($1, $2, 0, $3)
    ON CONFLICT (kind, who) DO UPDATE SET count = 0, until = excluded.until"""
REDEEM: Final = """
    DELETE FROM one_time_count WHERE kind = $1 AND until > $2 RETURNING who"""
PRUNE: Final = """
    DELETE FROM one_time_count WHERE (kind, who) IN (
        SELECT kind, who FROM one_time_count WHERE until <= $1
        LIMIT $2 FOR UPDATE SKIP LOCKED)"""
PRUNED_AT_ONCE: Final = 100
GIVE_BACK: Final = """
    UPDATE one_time_count SET count = greatest(count - 1, 0) WHERE kind = $1 AND who = $2"""


Counter: TypeAlias = tuple[str, str, Allowance]
"""The kind of a counter, the digest it counts for, and its limit."""


async def take(
    pool: Pool, kind: str, who: str, *, most: int, window: timedelta, now: datetime
) -> int | None:
    """Count one attempt; the seconds to wait if it exceeds the limit, else None.

    The window begins with the first attempt. Raises Unavailable; then nothing was counted.
    """
    async with acquire(pool) as connection:
        row = await connection.fetchrow(TAKE, kind, who, now + window, now)
    if row is None or row["count"] <= most:
        return None
    until: datetime = row["until"]
    return max(1, ceil((until - now).total_seconds()))


async def give_back(pool: Pool, kind: str, who: str) -> None:
    """Take back one counted attempt. Raises Unavailable."""
    async with acquire(pool) as connection:
        await connection.execute(GIVE_BACK, kind, who)


async def take_all(
    connection: Connection, counters: Sequence[Counter], now: datetime
) -> TooMany | None:
    """Count one attempt on each counter, up to the first that is used up, which is returned.

    Runs in the caller's transaction and locks rows: use the same order of counters everywhere.
    """
    for counter in counters:
        kind, who, allowed = counter
        row = await connection.fetchval(
            TAKE_WITHIN, kind, who, now + allowed.window, now, allowed.most
        )
        if row is None:
            return await used_up(connection, counter, now) or too_many(allowed, now, now)
    return None


async def used_up(connection: Connection, counter: Counter, now: datetime) -> TooMany | None:
    """The refusal of a counter that is used up, else None."""
    kind, who, allowed = counter
    until = await connection.fetchval(USED_UP, kind, who, allowed.most, now)
    return too_many(allowed, until, now) if until is not None else None


async def grant(connection: Connection, kind: str, who: str, until: datetime) -> None:
    """Grant further attempts until `until`, which `take_granted` takes."""
    await connection.execute(GRANT, kind, who, until)


async def has_granted(
    connection: Connection, kind: str, who: str, most: int, now: datetime
) -> bool:
    """Whether granted attempts are left."""
    return await connection.fetchval(HAS_GRANTED, kind, who, most, now) is not None


async def take_granted(
    connection: Connection, kind: str, who: str, most: int, now: datetime
) -> bool:
    """Take one granted attempt; False if none is left."""
    return await connection.fetchval(TAKE_GRANTED, kind, who, most, now) is not None


async def redeem(connection: Connection, kind: str, now: datetime) -> str | None:
    """End the grant of this kind; the digest it was for, None if there is none."""
    who: str | None = await connection.fetchval(REDEEM, kind, now)
    return who


async def give_back_on(connection: Connection, kind: str, who: str) -> None:
    """Like `give_back`, in the caller's transaction."""
    await connection.execute(GIVE_BACK, kind, who)


async def prune(connection: Connection, now: datetime) -> None:
    """Delete some expired counters; locked ones are left for the next call."""
    await connection.execute(PRUNE, now, PRUNED_AT_ONCE)
