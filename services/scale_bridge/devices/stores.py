"""What must be one of a kind beyond any single stream: devices' numbers, and their names."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from contracts.scale_bridge import DeviceId
from libs.postgres.pool import Pool, acquire

NEXT: Final = "SELECT nextval('device_number')"
TAKE: Final = """
INSERT INTO device_name (tenant, owner, name, device_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, owner, name) DO NOTHING
"""
WHOSE: Final = """
SELECT device_id, taken_at > now() - $4::interval AS fresh FROM device_name
WHERE tenant = $1 AND owner = $2 AND name = $3
"""
TAKE_OVER: Final = """
UPDATE device_name SET device_id = $5, taken_at = now()
WHERE tenant = $1 AND owner = $2 AND name = $3 AND device_id = $4
RETURNING device_id
"""
GIVE_BACK: Final = """
DELETE FROM device_name WHERE tenant = $1 AND owner = $2 AND name = $3 AND device_id = $4
"""
FRESH: Final = timedelta(seconds=30)
"""So long a name is believed to be taken by a device that is not in the log yet."""


async def next_number(pool: Pool) -> int:
    """A number no device had before; some are skipped. Raises Unavailable."""
    async with acquire(pool) as connection:
        number: int = await connection.fetchval(NEXT)
    return number


async def take_name(
    pool: Pool, tenant: str, owner: UUID, name: str, device_id: DeviceId
) -> tuple[DeviceId, bool] | None:
    """Have a name for a device: None if it is its own now, else whose it is, and if only just.

    Safe to repeat. Raises Unavailable.
    """
    async with acquire(pool) as connection:
        await connection.execute(TAKE, tenant, owner, name, device_id)
        row = await connection.fetchrow(WHOSE, tenant, owner, name, FRESH)
    if row is None:
        # Given back in this moment: the next attempt gets it.
        return DeviceId(device_id), True
    whose = DeviceId(UUID(str(row["device_id"])))
    return None if whose == device_id else (whose, row["fresh"])


async def take_over(
    pool: Pool, tenant: str, owner: UUID, name: str, *, of: DeviceId, device_id: DeviceId
) -> bool:
    """Have a name that a device has which does not use it; whether it was still so."""
    async with acquire(pool) as connection:
        taken = await connection.fetchval(TAKE_OVER, tenant, owner, name, of, device_id)
    return taken is not None


async def give_back(pool: Pool, tenant: str, owner: UUID, name: str, device_id: DeviceId) -> None:
    """Let others have the name; nothing if it is not the device's. Raises Unavailable."""
    async with acquire(pool) as connection:
        await connection.execute(GIVE_BACK, tenant, owner, name, device_id)
