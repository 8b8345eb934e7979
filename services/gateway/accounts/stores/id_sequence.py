"""The sequence of integers by which doors without UUIDs name accounts."""

from typing import Final

from libs.postgres.pool import Pool, acquire

NEXT: Final = "SELECT nextval('account_number')"


async def next_number(pool: Pool) -> int:
    """A number nobody had before; some are skipped. Raises Unavailable."""
    async with acquire(pool) as connection:
        number: int = await connection.fetchval(NEXT)
    return number
