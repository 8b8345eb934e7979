"""What became of the shop's prices, scale by scale?

`price_delivery` has what the catalogues' own histories say of each price. What was done with the
scales stands in `operation`, what they were read to show in `shown`; both are looked at when
somebody asks (see `delivery`). The order of arrival of other streams does not matter. The projector
of `drift` keeps it: it reads the same events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    MetaData,
    Table,
    Text,
    Uuid,
)

from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueInvalidated,
    DeviceId,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.projections.projection import Connection, Projection
from services.scale_bridge.catalogue.domain.catalogue import plu_after
from services.scale_bridge.monitoring.read_models import drift

PRICE_DELIVERY: Final = Table(
    "price_delivery",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("price_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("article", BigInteger, nullable=False),
    Column("price", Double, nullable=False),
    Column("changed", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("valid_at", DateTime(timezone=True), nullable=False),
    Column("announced_at", DateTime(timezone=True), nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("overridden_at", DateTime(timezone=True)),
    Column("overridden_by", Text),
)
"""`version` is that of the catalogue's stream. `overridden_by` is a person, or one of the words
`BY_LATER` and `BY_MOVE`."""

BY_LATER: Final = "price"
BY_MOVE: Final = "address changed"

TAKE: Final = """
INSERT INTO price_delivery AS known (tenant, device_id, plu, price_id, version, article, price,
    changed, revision, valid_at, announced_at, taken_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant, device_id, plu, price_id) DO UPDATE SET version = excluded.version,
    changed = excluded.changed, revision = excluded.revision, taken_at = excluded.taken_at,
    overridden_at = NULL, overridden_by = NULL
WHERE excluded.version > known.version
"""
OVERTAKE: Final = """
UPDATE price_delivery SET version = $5, overridden_at = $6, overridden_by = 'price'
WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND price_id <> $4 AND version < $5
    AND overridden_at IS NULL
"""
OVERRIDE: Final = """
UPDATE price_delivery SET version = $5, overridden_at = $6, overridden_by = $7
WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND price_id = $4 AND version < $5
"""
MOVE: Final = """
UPDATE price_delivery SET version = $3, overridden_at = $4, overridden_by = 'address changed'
WHERE tenant = $1 AND device_id = $2 AND version < $3 AND overridden_at IS NULL
"""
VACATE: Final = """
DELETE FROM price_delivery
WHERE tenant = $1 AND device_id = $2 AND plu = $4 AND version < $5 AND EXISTS (
    SELECT FROM price_delivery
    WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND version < $5)
"""
RENUMBER: Final = """
UPDATE price_delivery SET plu = $4, version = $5
WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND version < $5
"""
MISSED: Final = """
SELECT desired.tenant, desired.device_id, desired.plu, price.article
FROM price JOIN desired ON desired.tenant = price.tenant AND desired.code = price.article::text
WHERE price.valid_at <= $2 AND (price.valid_at > $1 OR price.kept_at > $1)
    AND NOT EXISTS (
        SELECT FROM price AS later
        WHERE later.tenant = price.tenant AND later.article = price.article
            AND later.valid_at <= $2 AND (later.valid_at, later.announced_at, later.price_id)
                > (price.valid_at, price.announced_at, price.price_id)
    )
    AND desired.plu NOT LIKE '%:%'
    AND NOT EXISTS (
        SELECT FROM price_delivery AS known
        WHERE known.tenant = price.tenant AND known.device_id = desired.device_id
            AND known.plu = desired.plu AND known.price_id = price.price_id
            AND known.overridden_by IS DISTINCT FROM 'address changed'
    )
ORDER BY 1, 2, 3 LIMIT $3
"""
"""A product without a PLU is not edited by anybody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """A product of a scale that a price of late has not come to, as far as is known."""

    tenant: str
    device_id: DeviceId
    plu: str
    article: int


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection `drift`, with this read model beside it: both follow the same events."""
    return drift.projection(project, ("price_delivery",))


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Follow what became of prices, event by event: each scale has its own, in its order."""
    for envelope in sorted(events, key=lambda envelope: (envelope.tenant, envelope.stream)):
        tenant, version = envelope.tenant, envelope.version
        match envelope.event:
            case PriceTaken() as taken:
                await _take(connection, tenant, version, taken)
            case PriceOverridden(device_id=device, plu=plu, price_id=price_id) as told:
                by = told.overridden_at, told.overridden_by
                await connection.execute(OVERRIDE, tenant, device, plu, price_id, version, *by)
            case CatalogueInvalidated(device_id=device, invalidated_at=at):
                await connection.execute(MOVE, tenant, device, version, at)
            case ProductEdited(device_id=device, plu=plu) as edited if "pluNumber" in edited.after:
                moves = tenant, device, plu, plu_after(edited), version
                await connection.execute(VACATE, *moves)
                await connection.execute(RENUMBER, *moves)
            case _:
                pass


async def _take(
    connection: Connection, tenant: str, version: int | None, taken: PriceTaken
) -> None:
    place = tenant, taken.device_id, taken.plu, taken.price_id
    await connection.execute(OVERTAKE, *place, version, taken.taken_at)
    names = ("article", "price", "changed", "revision", "valid_at", "announced_at", "taken_at")
    await connection.execute(TAKE, *place, version, *(getattr(taken, name) for name in names))


async def missed(
    connection: Any, since: datetime, now: datetime, *, limit: int
) -> Sequence[Missed]:
    """Where prices are missing that became valid, or known, after `since`; of all tenants."""
    rows = await connection.fetch(MISSED, since, now, limit)
    return [
        Missed(
            tenant=row["tenant"],
            device_id=DeviceId(UUID(str(row["device_id"]))),
            plu=row["plu"],
            article=row["article"],
        )
        for row in rows
    ]
