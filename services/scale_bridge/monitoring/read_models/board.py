"""How does each scale stand?

Nothing of its own: the scale and its revisions stand in `device`, what was done with it in
`operation`, what it shall and does show in `desired` and `shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from services.scale_bridge.monitoring.domain import NOT_SHOWN, NOT_TRIED, Ended, Facts
from services.scale_bridge.transfer.domain.kinds import ADOPTS, SENDS

LIST: Final = f"""
SELECT device.device_id, device.number, device.name, device.owner, device.bridge,
    device.revision, nullif(device.confirmed, 0) AS confirmed,
    device.shop, device.shop_group, device.next_verification,
    last.outcome, last.code, last.detail, last.ended_at, heard.ended_at AS heard_at,
    coalesce(caught.ended_at > coalesce(matched.ended_at, '-infinity'), false) AS caught,
    caught.detail AS caught_by,
    coalesce(seen.read_at > coalesce(seen.lost_at, '-infinity'), false) AS valid
FROM device
LEFT JOIN LATERAL (
    SELECT outcome, code, detail, ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND NOT (code = ANY($3::text[]))
    ORDER BY ended_at DESC, operation_id DESC LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND outcome IN ('done', 'verified')
    ORDER BY ended_at DESC LIMIT 1
) AS heard ON true
LEFT JOIN LATERAL (
    SELECT ended_at FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND (outcome = 'verified' OR outcome = 'done'
            AND kind IN ({query.listed_texts(ADOPTS)}))
    ORDER BY ended_at DESC LIMIT 1
) AS matched ON true
LEFT JOIN LATERAL (
    SELECT ended_at, detail FROM operation
    WHERE operation.tenant = device.tenant AND operation.device_id = device.device_id
        AND ended_at IS NOT NULL AND code = $4 AND kind IN ({query.listed_texts(SENDS)})
    ORDER BY ended_at DESC LIMIT 1
) AS caught ON true
LEFT JOIN LATERAL (
    SELECT
        (SELECT max(at) FROM reading WHERE reading.tenant = device.tenant
            AND reading.device_id = device.device_id AND kind = 'read') AS read_at,
        (SELECT max(at) FROM reading WHERE reading.tenant = device.tenant
            AND reading.device_id = device.device_id AND kind = 'lost') AS lost_at
) AS seen ON true
WHERE device.tenant = $1 AND NOT device.removed AND device.number IS NOT NULL
    AND ($2::uuid IS NULL OR device.owner = $2)
ORDER BY device.number
"""  # noqa: S608 -- kinds of operations


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A scale, where it stands, what is known of it, and when it has to be verified."""

    device_id: DeviceId
    number: int
    name: str
    facts: Facts
    shop: str = ""
    group: str = ""
    next_verification: date | None = None


async def rows(connection: Any, tenant: str, *, owner: UUID | None = None) -> Sequence[Row]:
    """Every scale of one owner, or of the tenant, by number.

    What is pending is not counted: `drift.counts` does, which takes longer.
    """
    found = await connection.fetch(LIST, tenant, owner, sorted(NOT_TRIED), NOT_SHOWN)
    return [_row(row) for row in found]


def _row(row: query.Row) -> Row:
    last = None
    if row["ended_at"] is not None:
        names = {"outcome": "outcome", "code": "code", "detail": "detail", "at": "ended_at"}
        last = Ended(**{name: row[column] for name, column in names.items()})
    return Row(
        device_id=DeviceId(row["device_id"]),
        number=row["number"],
        name=row["name"],
        shop=row["shop"],
        group=row["shop_group"],
        next_verification=row["next_verification"],
        facts=Facts(
            valid=row["valid"],
            revision=row["revision"],
            confirmed=row["confirmed"],
            caught=row["caught"],
            caught_by=row["caught_by"] or "",
            last=last,
            heard_at=row["heard_at"],
        ),
    )
