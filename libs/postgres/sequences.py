"""Sequences of integers, the ids of objects at doors without UUIDs."""

from libs.postgres import query
from libs.postgres.pool import Pool


class Sequence:
    """A sequence that `libs.postgres.rls.create_sequence` created."""

    def __init__(self, name: str) -> None:
        self._next = f"SELECT nextval('{name}')"
        self._several = f"SELECT nextval('{name}') AS number FROM generate_series(1, $1)"  # noqa: S608

    async def next(self, pool: Pool) -> int:
        """A new number; numbers may be skipped. Raises Unavailable."""
        number: int = await query.fetchval(pool, self._next)
        return number

    async def several(self, pool: Pool, count: int) -> list[int]:
        """`count` new numbers, ascending. Raises Unavailable."""
        rows = await query.fetch(pool, self._several, count)
        return sorted(row["number"] for row in rows)
