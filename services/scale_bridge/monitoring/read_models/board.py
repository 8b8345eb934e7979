"""The rows of the board: each scale with the facts that decide its status.

It has no table: it reads those of `device`, `operation`, and `shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from services.scale_bridge.monitoring.domain import NOT_SHOWN, NOT_TRIED, DeviceFacts, Ended
from services.scale_bridge.transfer.domain.kinds import ADOPTS, SENDS, SUCCEEDED

LIST: Final = f"""
SELECT device.device_id, device.number, device.name, device.owner, device.bridge,
    device.revision, nullif(device.confirmed, 0) AS confirmed,
    device.shop, device.shop_group, device.next_verification,
    last.outcome, last.code, last.detail, last.ended_at, exchange.ended_at AS last_exchange,
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
        AND ended_at IS NOT NULL AND outcome IN ({query.listed_texts(SUCCEEDED)})
    ORDER BY ended_at DESC LIMIT 1
) AS exchange ON true
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
class BoardRow:
    """A scale with its shop and group, its facts, and the day of its next verification."""

    device_id: DeviceId
    number: int
    name: str
    facts: DeviceFacts
    shop: str = ""
    group: str = ""
    next_verification: date | None = None


async def rows(connection: Any, tenant: str, *, owner: UUID | None = None) -> Sequence[BoardRow]:
    """Every scale of one owner, or of the tenant, by number.

    `pending` is left at 0: `drift.counts` counts it, which takes longer.
    """
    given = tenant, owner, sorted(NOT_TRIED), NOT_SHOWN
    return [_row(row) for row in await connection.fetch(LIST, *given)]


def _row(row: query.Row) -> BoardRow:
    last = None if row["ended_at"] is None else query.row_as(Ended, row, at=row["ended_at"])
    more = {"caught_by": row["caught_by"] or "", "last": last}
    facts = query.row_as(DeviceFacts, row, **more, pending=0)
    return query.row_as(BoardRow, row, group=row["shop_group"], facts=facts)
