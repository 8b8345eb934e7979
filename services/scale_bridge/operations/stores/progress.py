"""How far transfers are: written once in a while, read by who asks, gone when they end.

Of operations of the service itself it stands with the work, of those of a daemon with what it was
handed. No event tells of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.scale_bridge import OperationId
from libs.postgres.pool import Connection, Pool, acquire

MOVED: Final = """
UPDATE work SET moved = given.moved, total = given.total
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS given (operation_id, moved, total)
WHERE work.operation_id = given.operation_id AND work.claimed_by = $1
"""

# Of an operation in two parts, the second is the operation itself.
OF: Final = """
SELECT coalesce(work.moved, hand.moved) AS done_bytes,
    coalesce(work.total, hand.total) AS total_bytes
FROM work LEFT JOIN LATERAL (
    SELECT moved, total FROM handed
    WHERE handed.tenant = work.tenant AND handed.operation_id = work.operation_id
    ORDER BY handed.errand_id = handed.operation_id DESC LIMIT 1
) AS hand ON true
WHERE work.tenant = $1 AND work.operation_id = $2
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes are over, of `total` if that is known. A further attempt begins at 0 again."""

    done: int
    total: int | None


async def save(pool: Pool, holder: str, moved: Mapping[OperationId, Moved]) -> None:
    """How far operations are whose work `holder` has claimed, all at once. Raises Unavailable."""
    done = [one.done for one in moved.values()]
    total = [one.total for one in moved.values()]
    async with acquire(pool) as connection:
        await connection.execute(MOVED, holder, list(moved), done, total)


async def of(connection: Connection, tenant: str, operation_id: UUID) -> Moved | None:
    """How far an operation is that is under way; None if nothing has moved so far."""
    row = await connection.fetchrow(OF, tenant, operation_id)
    if row is None or row["done_bytes"] is None:
        return None
    return Moved(row["done_bytes"], row["total_bytes"])
