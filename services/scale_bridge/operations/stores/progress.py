"""The progress of running transfers in bytes. It is state, not an event, and ends with them.

The service's own transfers have it in the table `work`, those of agents in `handed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.scale_bridge import OperationId
from libs.postgres import query
from libs.postgres.pool import Connection, Pool

SAVE: Final = """
UPDATE work SET moved = given.moved, total = given.total
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS given (operation_id, moved, total)
WHERE work.operation_id = given.operation_id AND work.claimed_by = $1
"""

# Of an operation in two tasks, the second has the id of the operation.
GET: Final = """
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
class Transferred:
    """`done` bytes of `total` are transferred; None if unknown. Each attempt begins at 0 again."""

    done: int
    total: int | None


async def save(pool: Pool, holder: str, progress: Mapping[OperationId, Transferred]) -> None:
    """Store the progress of jobs that `holder` has claimed. Raises Unavailable."""
    done = [one.done for one in progress.values()]
    total = [one.total for one in progress.values()]
    await query.execute(pool, SAVE, holder, list(progress), done, total)


async def get(connection: Connection, tenant: str, operation_id: UUID) -> Transferred | None:
    """The progress of a running operation; None if nothing was transferred yet."""
    row = await connection.fetchrow(GET, tenant, operation_id)
    if row is None or row["done_bytes"] is None:
        return None
    return Transferred(row["done_bytes"], row["total_bytes"])
