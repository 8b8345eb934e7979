"""The sequence of account numbers, the ids of doors without UUIDs."""

from typing import Final

from libs.postgres.pool import Pool, acquire

NEXT: Final = "SELECT nextval('account_number')"


async def next_number(pool: Pool) -> int:
    """A new number; numbers may be skipped. Raises Unavailable."""
    async with acquire(pool) as connection:
        number: int = await connection.fetchval(NEXT)
    return number
