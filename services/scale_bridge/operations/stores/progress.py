"""The progress of running transfers in bytes. It is state, not an event, and ends with them.

The service's own transfers have it in the table `work`, those of agents in `handed`.
"""

from typing import Final
from uuid import UUID

from libs.jobs.queue import Progress
from libs.postgres.pool import Connection

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


async def get(connection: Connection, tenant: str, operation_id: UUID) -> Progress | None:
    """The bytes of a running operation; None if nothing was transferred. An attempt begins at 0."""
    row = await connection.fetchrow(GET, tenant, operation_id)
    if row is None or row["done_bytes"] is None:
        return None
    return Progress(row["done_bytes"], row["total_bytes"])
