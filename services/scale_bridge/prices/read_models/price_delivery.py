"""The read model `price_delivery`: how far each price of the shop is, scale by scale.

The table has what the catalogues' own histories say about each price. A query adds who sells the
article (`desired`), the operations (`operation`) and what was read from the scales (`shown`), so
other streams may arrive in any order. The projection `drift` writes the table: it reads the same
events.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection
from services.scale_bridge.catalogue.domain.catalogue import plu_after
from services.scale_bridge.catalogue.domain.shop_price import Price
from services.scale_bridge.monitoring.domain import NOT_TRIED
from services.scale_bridge.monitoring.read_models import drift
from services.scale_bridge.prices.domain import DeliveryFacts, Transfer
from services.scale_bridge.transfer.domain.kinds import COMPARES, SENDS

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
"""`version` is the version of the catalogue's stream. `overridden_by` is an account, `price` for
a later price, or `BY_MOVE` for a change of the scale's address."""

BY_MOVE: Final = "address changed"

TAKE: Final = upsert(
    PRICE_DELIVERY,
    newer="version",
    insert_only=("article", "price", "valid_at", "announced_at"),
)
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
"""Products without a PLU, whose key has a colon, cannot be edited."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """A product that a recent price was not set on, as far as the read model knows."""

    tenant: str
    device_id: DeviceId
    plu: str
    article: int


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection `drift`, which writes this read model too."""
    return drift.projection(project, ("price_delivery",))


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Apply the events to `price_delivery`, in the order of each scale's stream."""
    for envelope in sorted(events, key=lambda envelope: (envelope.tenant, envelope.stream)):
        tenant, version = envelope.tenant, envelope.version
        match envelope.event:
            case PriceTaken() as taken:
                await _take(connection, tenant, version, taken)
            case PriceOverridden(device_id=device, plu=plu, price_id=price_id) as event:
                by = event.overridden_at, event.overridden_by
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
    key = tenant, taken.device_id, taken.plu, taken.price_id
    await connection.execute(OVERTAKE, *key, version, taken.taken_at)
    row = {"tenant": tenant, "version": version, **asdict(taken)}
    await TAKE.put(connection, [row])


async def missed(
    connection: Any, since: datetime, now: datetime, *, limit: int
) -> Sequence[Missed]:
    """Products without a price that became valid, or was stored, after `since`; of all tenants."""
    rows = await connection.fetch(MISSED, since, now, limit)
    return [query.row_as(Missed, row) for row in rows]


_OWN: Final = """
SELECT device_id, number, name FROM device
WHERE tenant = $1 AND owner = $2 AND NOT removed AND number IS NOT NULL
"""
_TAKEN: Final = "SELECT * FROM price_delivery WHERE tenant = $1 AND price_id = $3"
_SOLD: Final = """
SELECT device_id, plu FROM desired WHERE tenant = $1 AND code = $4::bigint::text
"""
# What was read at an earlier address does not count.
_LOST: Final = """
SELECT coalesce(max(at), '-infinity') AS at FROM reading
WHERE tenant = $1 AND device_id = own.device_id AND kind = 'lost'
    AND at <= coalesce(taken.taken_at, 'infinity')
"""
_LAST: Final = f"""
SELECT operation_id, stage, outcome, code, detail, began_at, ended_at FROM operation
WHERE tenant = $1 AND device_id = own.device_id AND stage <> 'queued'
    AND (kind IN ({query.listed_texts(SENDS)})
        OR kind IN ({query.listed_texts(COMPARES - SENDS)}) AND ended_at IS NOT NULL)
    AND (revision >= taken.revision
        OR revision IS NULL AND ended_at IS NOT NULL AND queued_at >= taken.taken_at)
ORDER BY ended_at IS NULL DESC, coalesce(code = ANY($5::text[]), false), ended_at DESC, operation_id
LIMIT 1
"""  # noqa: S608 -- kinds of operations
_SENT: Final = f"""
SELECT operation_id, began_at FROM operation
WHERE tenant = $1 AND device_id = own.device_id AND revision >= taken.revision
    AND kind IN ({query.listed_texts(SENDS)}) AND outcome IN ('done', 'verified')
ORDER BY began_at, operation_id LIMIT 1
"""  # noqa: S608 -- kinds of operations
_PRICE_THEN: Final = """
SELECT product -> 'price' FROM shown
WHERE tenant = $1 AND device_id = own.device_id AND plu = taken.plu
    AND seen_at > lost.at AND seen_at <= {instant}
ORDER BY seen_at DESC, operation_id DESC LIMIT 1
"""
_READ: Final = f"""
SELECT read.at FROM reading AS read
WHERE read.tenant = $1 AND read.device_id = own.device_id AND read.kind = 'read'
    AND read.at >= taken.taken_at AND read.at < coalesce(taken.overridden_at, 'infinity')
    AND ({_PRICE_THEN.format(instant="read.at")}) = to_jsonb(taken.price)
ORDER BY read.at LIMIT 1
"""  # noqa: S608 -- no value is put in
# If the price changed nothing, the read before it counts, unless the scale was written to since.
_READ_BEFORE: Final = f"""
SELECT last.at FROM (
    SELECT max(at) FILTER (WHERE kind = 'read') AS at,
        max(at) FILTER (WHERE kind = 'written') AS written_at
    FROM reading
    WHERE tenant = $1 AND device_id = own.device_id AND at > lost.at AND at < taken.taken_at
) AS last
WHERE NOT taken.changed AND last.at >= coalesce(last.written_at, '-infinity')
    AND ({_PRICE_THEN.format(instant="last.at")}) = to_jsonb(taken.price)
"""  # noqa: S608 -- no value is put in
_PRESENT: Final = """
SELECT product -> 'price' AS price FROM showing
WHERE tenant = $1 AND device_id = own.device_id AND plu = coalesce(taken.plu, sold.plu)
    AND seen_at > lost.at
"""

# An applied operation is attempted again for its read-back: its stage stays `applied`.
LIST: Final = f"""
SELECT own.number, own.name, own.device_id, coalesce(taken.plu, sold.plu) AS plu,
    sold.plu IS NOT NULL AS sold, taken.taken_at, taken.changed, taken.revision,
    taken.overridden_at, taken.overridden_by,
    CASE WHEN last.ended_at IS NULL AND EXISTS (
        SELECT FROM reading WHERE tenant = $1 AND device_id = own.device_id
            AND kind = 'written' AND told_by = last.operation_id
    ) THEN 'applied' ELSE last.stage END AS stage,
    last.outcome, last.code, last.detail, last.ended_at,
    coalesce(sent.began_at, last.began_at) AS sending_at,
    (SELECT min(at) FROM reading WHERE tenant = $1 AND device_id = own.device_id
        AND kind = 'written' AND told_by = coalesce(sent.operation_id, last.operation_id)
        AND at >= taken.taken_at) AS applied_at,
    least(read.at, CASE WHEN before.at IS NULL THEN NULL ELSE taken.taken_at END) AS verified_at,
    present.price::text AS displayed_price,
    present.price IS DISTINCT FROM to_jsonb(taken.price) AS seen_otherwise
FROM ({_OWN}) AS own
JOIN (({_TAKEN}) AS taken FULL JOIN ({_SOLD}) AS sold USING (device_id, plu)) USING (device_id)
CROSS JOIN LATERAL ({_LOST}) AS lost
LEFT JOIN LATERAL ({_LAST}) AS last ON true
LEFT JOIN LATERAL ({_SENT}) AS sent ON true
LEFT JOIN LATERAL ({_READ}) AS read ON true
LEFT JOIN LATERAL ({_READ_BEFORE}) AS before ON true
LEFT JOIN LATERAL ({_PRESENT}) AS present ON true
ORDER BY own.number, length(coalesce(taken.plu, sold.plu)), coalesce(taken.plu, sold.plu)
"""  # noqa: S608 -- no value is put in

KNOWN: Final = """
SELECT article, price, valid_at, announced_at FROM price_delivery
WHERE tenant = $1 AND price_id = $2 LIMIT 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """A product that a price is for, with the facts of its delivery; `displayed_price` is JSON."""

    number: int
    name: str
    plu: str
    facts: DeliveryFacts
    changed: bool | None
    revision: int | None
    sending_at: datetime | None
    applied_at: datetime | None
    overridden_by: str | None
    displayed_price: str | None


async def rows(connection: Any, tenant: str, owner: UUID, price: Price) -> Sequence[DeliveryRow]:
    """The products of one owner's scales that a price is for, by the scale's number and the PLU."""
    given = tenant, owner, price.price_id, price.article, sorted(NOT_TRIED)
    return [_row(row) for row in await connection.fetch(LIST, *given)]


async def price_of(connection: Any, tenant: str, price_id: UUID) -> Price | None:
    """A price that some scale took, also one that is no longer in the table `price`."""
    row = await connection.fetchrow(KNOWN, tenant, price_id)
    return None if row is None else Price(price_id=price_id, **dict(row))


def _row(row: query.Row) -> DeliveryRow:
    transfer = query.row_as(Transfer, row) if row["stage"] is not None else None
    moved = row["overridden_by"] == BY_MOVE
    facts = query.row_as(DeliveryFacts, row, moved=moved, transfer=transfer)
    return query.row_as(DeliveryRow, row, facts=facts)
