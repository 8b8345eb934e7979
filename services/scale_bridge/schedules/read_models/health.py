"""The health of idle scales of all tenants, for recovery.

It has no table: it reads those of `device`, `operation`, `desired` and `shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from services.scale_bridge.monitoring.domain import NOT_TRIED, UNREACHABLE
from services.scale_bridge.schedules.domain.recovery import Health, PastOperation
from services.scale_bridge.transfer.domain.kinds import ADOPTS, COMPARES, SUCCEEDED

# An operation without an end long after its deadline belongs to a dead worker: it does not count.
LIST: Final = f"""
SELECT device.tenant, device.device_id, device.ip, device.port, device.bridge,
    device.revision <> device.confirmed AS dirty,
    EXISTS (
        SELECT FROM desired
        WHERE desired.tenant = device.tenant AND desired.device_id = device.device_id
            AND desired.source IN ('price', 'dates') AND desired.revision > device.confirmed
    ) AS unsent,
    coalesce(seen.read_at > coalesce(seen.lost_at, '-infinity'), false) AS valid, seen.read_at,
    tried.kind, tried.outcome, tried.code, tried.ended_at,
    transfer.kind AS transfer_kind, transfer.outcome AS transfer_outcome,
    transfer.code AS transfer_code, transfer.ended_at AS transfer_ended_at,
    silent.ended_at AS silent_at, failed.number AS failures, latest.ended_at AS latest_ended_at
FROM device
LEFT JOIN LATERAL (
    SELECT
        (SELECT max(at) FROM reading WHERE reading.tenant = device.tenant
            AND reading.device_id = device.device_id AND kind = 'read') AS read_at,
        (SELECT max(at) FROM reading WHERE reading.tenant = device.tenant
            AND reading.device_id = device.device_id AND kind = 'lost') AS lost_at
) AS seen ON true
LEFT JOIN LATERAL (
    SELECT max(ended_at) AS ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT kind, outcome, code, ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND NOT (code = ANY($2::text[]))
    ORDER BY ended_at DESC, operation_id DESC LIMIT 1
) AS tried ON true
LEFT JOIN LATERAL (
    SELECT kind, outcome, code, ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND kind IN ({query.listed_texts(COMPARES)})
    ORDER BY ended_at DESC, operation_id DESC LIMIT 1
) AS transfer ON true
LEFT JOIN LATERAL (
    SELECT ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND code = ANY($3::text[])
    ORDER BY ended_at DESC LIMIT 1
) AS silent ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS number FROM (
        SELECT FROM operation
        WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
            AND ended_at IS NOT NULL AND outcome NOT IN ({query.listed_texts(SUCCEEDED)})
            AND NOT (code = ANY($2::text[]))
            AND ended_at > coalesce((
                SELECT max(well.ended_at) FROM operation AS well
                WHERE well.tenant = device.tenant AND well.device_id = device.device_id
                    AND (well.outcome = 'verified' OR well.outcome = 'done'
                        AND well.kind IN ({query.listed_texts(ADOPTS)}))
            ), '-infinity')
        LIMIT 20
    ) AS failures
) AS failed ON true
WHERE NOT device.removed AND device.number IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM operation
        WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
            AND ended_at IS NULL AND queued_at > $1::timestamptz - interval '10 minutes'
    )
ORDER BY device.tenant, device.device_id
"""  # noqa: S608 -- kinds of operations


@dataclass(frozen=True, kw_only=True, slots=True)
class IdleDevice:
    """A scale without a running operation: its address and its health."""

    tenant: str
    device_id: DeviceId
    ip: str
    port: int
    health: Health


async def idle_devices(connection: Any, now: datetime) -> Sequence[IdleDevice]:
    """Scales without a running operation, of all tenants the connection sees."""
    rows = await connection.fetch(LIST, now, sorted(NOT_TRIED), sorted(UNREACHABLE))
    return [_device(row) for row in rows]


def _device(row: query.Row) -> IdleDevice:
    last = {"tried": _last(row, ""), "transfer": _last(row, "transfer_")}
    health = query.row_as(Health, row, ended_at=row["latest_ended_at"], **last)
    return query.row_as(IdleDevice, row, health=health)


def _last(row: query.Row, prefix: str) -> PastOperation | None:
    if row[f"{prefix}ended_at"] is None:
        return None
    values = {name: row[f"{prefix}{name}"] for name in ("kind", "outcome", "code")}
    return PastOperation(**values, at=row[f"{prefix}ended_at"])
