"""What each scale showed when it was last read, so that only news of it is told."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres.pool import Pool, acquire

GET: Final = "SELECT shown FROM last_shown WHERE tenant = $1 AND device_id = $2"
SAVE: Final = """
INSERT INTO last_shown (tenant, device_id, operation_id, shown) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, device_id) DO UPDATE
SET operation_id = excluded.operation_id, shown = excluded.shown
"""


class _Read(msgspec.Struct):
    place: str
    shown: dict[str, dict[str, Any]]


async def get(
    pool: Pool, tenant: str, device_id: DeviceId, place: str
) -> Mapping[str, Mapping[str, Any]]:
    """What counted of every product, by its key; nothing if it was never read at this place."""
    async with acquire(pool) as connection:
        found = await connection.fetchval(GET, tenant, device_id)
    if found is None:
        return {}
    read = msgspec.json.decode(found, type=_Read)
    return read.shown if read.place == place else {}


async def save(
    pool: Pool,
    tenant: str,
    device_id: DeviceId,
    operation_id: OperationId,
    place: str,
    shown: Mapping[str, Mapping[str, Any]],
) -> None:
    """Remember what an operation read at a place, its address and port. Safe to repeat."""
    file = msgspec.json.encode({"place": place, "shown": shown})
    async with acquire(pool) as connection:
        await connection.execute(SAVE, tenant, device_id, operation_id, file)
