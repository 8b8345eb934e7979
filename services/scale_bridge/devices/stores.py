"""The sequence of devices' numbers, and the reservation of their names, over all streams."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from libs.postgres.sequences import Sequence

NUMBERS: Final = Sequence("device_number")
TAKE: Final = """
INSERT INTO device_name (tenant, owner, name, device_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, owner, name) DO NOTHING
"""
HOLDER: Final = """
SELECT device_id, taken_at > now() - $4::interval AS fresh FROM device_name
WHERE tenant = $1 AND owner = $2 AND name = $3
"""
TAKE_OVER: Final = """
UPDATE device_name SET device_id = $5, taken_at = now()
WHERE tenant = $1 AND owner = $2 AND name = $3 AND device_id = $4
RETURNING device_id
"""
RELEASE: Final = """
DELETE FROM device_name WHERE tenant = $1 AND owner = $2 AND name = $3 AND device_id = $4
"""
FRESH: Final = timedelta(seconds=30)
"""For this time after its reservation a name may belong to a device that is not in the log yet."""


async def take_name(
    pool: Pool, tenant: str, owner: UUID, name: str, device_id: DeviceId
) -> tuple[DeviceId, bool] | None:
    """Reserve a name for a device: None, or the device that holds it and whether it is fresh.

    Safe to repeat. Raises Unavailable.
    """
    async with acquire(pool) as connection:
        await connection.execute(TAKE, tenant, owner, name, device_id)
        row = await connection.fetchrow(HOLDER, tenant, owner, name, FRESH)
    if row is None:
        # Released meanwhile: the next attempt gets it.
        return DeviceId(device_id), True
    holder = DeviceId(UUID(str(row["device_id"])))
    return None if holder == device_id else (holder, row["fresh"])


async def take_over_name(
    pool: Pool, tenant: str, owner: UUID, name: str, *, of: DeviceId, device_id: DeviceId
) -> bool:
    """Move a name from the device `of`; False if that does not hold it now. Raises Unavailable."""
    moved = await query.fetchval(pool, TAKE_OVER, tenant, owner, name, of, device_id)
    return moved is not None


async def release_name(
    pool: Pool, tenant: str, owner: UUID, name: str, device_id: DeviceId
) -> None:
    """Release a name; nothing if the device does not hold it. Raises Unavailable."""
    await query.execute(pool, RELEASE, tenant, owner, name, device_id)
