"""Limits of attempts in a window of time, counted in the database for all processes.

`who` is a digest of what is counted for, `kind` names the counter. All functions use the caller's
connection: in a transaction they lock rows, so use the same order of counters everywhere.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import Final, TypeAlias

from libs.errors import RateLimit, TooMany
from libs.postgres.pool import Connection
from libs.postgres.rls import Migration, create_system_tables

TABLES: Final = {
    "one_time_count": """(
        kind text NOT NULL,
        who text NOT NULL,
        count integer NOT NULL CHECK (count >= 0),
        until timestamptz NOT NULL,
        PRIMARY KEY (kind, who)
    )"""
}
INDEX: Final = "CREATE INDEX one_time_count_until ON one_time_count (until)"

TAKE: Final = """
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
GIVE_BACK: Final = """
    UPDATE one_time_count SET count = greatest(count - 1, 0) WHERE kind = $1 AND who = $2"""

Counter: TypeAlias = tuple[str, str, RateLimit]
"""The kind of a counter, the digest it counts for, and its limit."""


def create_attempts(op: Migration) -> None:
    """Create the table of the counters, visible in system scope only."""
    create_system_tables(op, TABLES, [INDEX])


async def take(
    connection: Connection, counters: Iterable[Counter], now: datetime
) -> TooMany | None:
    """Count one attempt on each counter, up to the first that is used up, which is returned.

    A window begins with the first attempt.
    """
    for counter in counters:
        kind, who, limit = counter
        until = now + timedelta(seconds=limit.window_seconds)
        row = await connection.fetchval(TAKE, kind, who, until, now, limit.quota)
        if row is None:
            return await used_up(connection, counter, now) or _too_many(limit, now, now)
    return None


async def used_up(connection: Connection, counter: Counter, now: datetime) -> TooMany | None:
    """The refusal of a counter that is used up, else None."""
    kind, who, limit = counter
    until = await connection.fetchval(USED_UP, kind, who, limit.quota, now)
    return _too_many(limit, until, now) if until is not None else None


async def give_back(connection: Connection, counters: Iterable[Counter]) -> None:
    """Take back one counted attempt on each counter."""
    for kind, who, _ in counters:
        await connection.execute(GIVE_BACK, kind, who)


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


def _too_many(limit: RateLimit, until: datetime, now: datetime) -> TooMany:
    return TooMany(retry_after=max(1, ceil((until - now).total_seconds())), limit=limit)
