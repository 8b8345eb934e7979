"""Which verifications are due? The profiles of devices are in the table `device`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from contracts.scale_bridge import DeviceId
from services.scale_bridge.devices.domain.verification import DAYS, EARLIEST

DUE: Final = """
SELECT tenant, device_id, next_verification FROM device
WHERE next_verification <= $1 AND NOT removed AND number IS NOT NULL
    AND (reminded_of IS DISTINCT FROM next_verification
        OR reminded_days > (SELECT min(days) FROM unnest($2::int[]) AS each (days)
            WHERE days >= next_verification - $3::date))
ORDER BY next_verification, device_id LIMIT $4
"""
"""A device is due if the nearest reminder of its verification was not announced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A device whose verification is due on a day."""

    tenant: str
    device_id: DeviceId
    due_on: date


async def due(connection: Any, today: date, *, limit: int) -> Sequence[Due]:
    """The devices with a due reminder, of all tenants that the connection can read."""
    until = today + timedelta(days=EARLIEST)
    rows = await connection.fetch(DUE, until, list(DAYS), today, limit)
    return [
        Due(
            tenant=row["tenant"],
            device_id=DeviceId(row["device_id"]),
            due_on=row["next_verification"],
        )
        for row in rows
    ]
