"""What is the profile of each device, and which verifications are due?

The profile is stored in columns of the table `device`. `profile_version` is the version of its last
event: events of other kinds on the same stream do not change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from contracts.envelope import Envelope
from contracts.scale_bridge import DeviceId, DeviceProfiled, ScaleBridgeEvent, VerificationDue
from libs.projections.projection import Connection
from services.scale_bridge.devices.domain.verification import DAYS, EARLIEST

PROFILED: Final = """
INSERT INTO device AS known (tenant, device_id, profile_version, shop, shop_group, price_list,
    model, serial_number, next_verification)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::date[]) ORDER BY 1, 2
ON CONFLICT (tenant, device_id) DO UPDATE SET
    profile_version = excluded.profile_version,
    shop = excluded.shop,
    shop_group = excluded.shop_group,
    price_list = excluded.price_list,
    model = excluded.model,
    serial_number = excluded.serial_number,
    next_verification = excluded.next_verification
WHERE excluded.profile_version > known.profile_version
"""
REMINDED: Final = """
INSERT INTO device AS known (tenant, device_id, reminded_version, reminded_of, reminded_days)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::date[], $5::int[]) ORDER BY 1, 2
ON CONFLICT (tenant, device_id) DO UPDATE SET
    reminded_version = excluded.reminded_version,
    reminded_of = excluded.reminded_of,
    reminded_days = excluded.reminded_days
WHERE excluded.reminded_version > known.reminded_version
"""
DUE: Final = """
SELECT tenant, device_id, next_verification FROM device
WHERE next_verification <= $1 AND NOT removed AND number IS NOT NULL
    AND (reminded_of IS DISTINCT FROM next_verification
        OR reminded_days > (SELECT min(days) FROM unnest($2::int[]) AS each (days)
            WHERE days >= next_verification - $3::date))
ORDER BY next_verification, device_id LIMIT $4
"""
"""A device is due if the nearest reminder of its verification was not announced."""

_Key: TypeAlias = tuple[str, UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A device whose verification is due on a day."""

    tenant: str
    device_id: DeviceId
    due_on: date


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Project the last profile and reminder of each device."""
    profiled: dict[_Key, tuple[Any, ...]] = {}
    reminded: dict[_Key, tuple[Any, ...]] = {}
    for envelope in events:
        match envelope.event:
            case DeviceProfiled() as event:
                profile = event.profile
                key = envelope.tenant, event.device_id
                # In the order of the columns of `PROFILED`.
                profiled[key] = (
                    *key,
                    envelope.version,
                    profile.shop,
                    profile.group,
                    profile.price_list,
                    profile.model,
                    profile.serial_number,
                    profile.next_verification,
                )
            case VerificationDue() as event:
                key = envelope.tenant, event.device_id
                reminded[key] = (*key, envelope.version, event.due_on, event.days)
            case _:
                pass
    for statement, rows in ((PROFILED, profiled), (REMINDED, reminded)):
        if rows:
            await connection.execute(statement, *zip(*rows.values(), strict=True))


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
