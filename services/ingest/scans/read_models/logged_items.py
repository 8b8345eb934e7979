"""Which items of a code in a box are in the log?

Read from the log itself, so that an item is included from the moment its batch was accepted,
however late the read models are.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from contracts.ingest import ScanId
from libs.postgres.pool import Pool, tenant_connection

PAGE: Final = 50
"""The rows of a page; usually the first page is enough."""

OF_BOX: Final = """
SELECT (data ->> 'scan_id')::uuid AS scan_id, occurred_at FROM events
WHERE tenant = $1
    AND item_box = hashtextextended($2, 0) AND item_code = hashtextextended($3, 0)
    AND data ->> 'box' = $2 AND data ->> 'code' = $3
    AND ($4::timestamptz IS NULL OR occurred_at < $4)
ORDER BY occurred_at DESC FETCH FIRST $5 ROWS WITH TIES
"""


async def of_box(pool: Pool, tenant: str, box: str, code: str) -> AsyncIterator[Sequence[ScanId]]:
    """Pages of items, also removed ones, latest effective time first.

    Items of the same time are on one page. No connection is held between pages. Raises
    `Unavailable`.
    """
    before: datetime | None = None
    while True:
        async with tenant_connection(pool, tenant) as connection:
            rows = await connection.fetch(OF_BOX, tenant, box, code, before, PAGE)
        if rows:
            yield [ScanId(row["scan_id"]) for row in rows]
        if len(rows) < PAGE:
            return
        before = rows[-1]["occurred_at"]
