"""What may go of the read model `shown`: whatever no answer about the time since `until` needs.

Of every product the last that was seen by then stays, for that is what was shown then, and of every
scale its last reading of each kind. All of it can be made again from the log.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from libs.projections.projection import Connection

ScaleKey: TypeAlias = tuple[str, UUID]
"""A scale of a tenant."""

SCALES: Final = """
SELECT tenant, device_id FROM device WHERE (tenant, device_id) > ($1, $2::uuid)
ORDER BY tenant, device_id LIMIT $3
"""

# Whatever was seen before a scale may have become another one says nothing of it since.
FORGET_SHOWN: Final = """
WITH over AS (
    SELECT plu, seen_at, operation_id FROM shown AS old
    WHERE tenant = $1 AND device_id = $2 AND seen_at <= $3 AND (
        seen_at <= (SELECT max(at) FROM reading
            WHERE tenant = $1 AND device_id = $2 AND kind = 'lost' AND at <= $3)
        OR EXISTS (SELECT FROM shown AS next
            WHERE next.tenant = $1 AND next.device_id = $2 AND next.plu = old.plu
                AND next.seen_at <= $3
                AND (next.seen_at, next.operation_id) > (old.seen_at, old.operation_id))
    )
    ORDER BY seen_at LIMIT $4
)
DELETE FROM shown USING over WHERE shown.tenant = $1 AND shown.device_id = $2
    AND shown.plu = over.plu AND shown.seen_at = over.seen_at
    AND shown.operation_id = over.operation_id
"""
FORGET_READINGS: Final = """
WITH over AS (
    SELECT at, told_by, kind FROM reading AS old
    WHERE tenant = $1 AND device_id = $2 AND at <= $3 AND EXISTS (
        SELECT FROM reading AS next
        WHERE next.tenant = $1 AND next.device_id = $2 AND next.kind = old.kind
            AND next.at <= $3 AND (next.at, next.told_by) > (old.at, old.told_by)
    )
    ORDER BY at LIMIT $4
)
DELETE FROM reading USING over WHERE reading.tenant = $1 AND reading.device_id = $2
    AND reading.at = over.at AND reading.told_by = over.told_by AND reading.kind = over.kind
"""


async def scales(connection: Any, after: ScaleKey, *, limit: int) -> Sequence[ScaleKey]:
    """Some scales of all tenants, removed ones too, in a fixed order."""
    rows = await connection.fetch(SCALES, *after, limit)
    return [(row["tenant"], row["device_id"]) for row in rows]


async def forget(connection: Connection, scale: ScaleKey, until: datetime, *, limit: int) -> int:
    """Let go of some of what may go of a scale; how many rows. Safe to repeat, and at any time.

    What was shown goes before the readings do that say when it ended.
    """
    for statement in (FORGET_SHOWN, FORGET_READINGS):
        done = await connection.execute(statement, *scale, until, limit)
        if gone := int(done.rpartition(" ")[2]):
            return gone
    return 0
