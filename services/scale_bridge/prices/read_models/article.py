"""The products of an owner's scales by article, from the tables `desired` and `device`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.postgres import query
from services.scale_bridge.catalogue.domain.displayed_fields import DisplayedFields

SOLD: Final = """
SELECT device.number, device.name AS device, desired.plu, desired.fields::text AS fields
FROM desired JOIN device USING (tenant, device_id)
WHERE desired.tenant = $1 AND desired.code = ANY($2::text[]) AND device.owner = $3
    AND device.number IS NOT NULL AND NOT device.removed
ORDER BY device.number, length(desired.plu), desired.plu LIMIT $4
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sold:
    """A product of an article, on the scale with a number and a name; `fields` are displayed."""

    number: int
    device: str
    plu: str
    fields: DisplayedFields


async def sold(
    connection: Any, tenant: str, owner: UUID, codes: Collection[str], *, limit: int = 1000
) -> Sequence[Sold]:
    """The products with these codes on an owner's scales, by the scale's number and the PLU."""
    rows = await connection.fetch(SOLD, tenant, list(codes), owner, limit)
    return [query.row_as(Sold, row, fields=msgspec.json.decode(row["fields"])) for row in rows]
