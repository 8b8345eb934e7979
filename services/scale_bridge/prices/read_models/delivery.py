"""Where has a price of the shop arrived?

Nothing of its own: what became of it stands in `price_delivery`, who sells the article in
`desired`, what was done with the scales in `operation`, and what they were read to show in `shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.postgres import query
from services.scale_bridge.monitoring.domain import NOT_TRIED
from services.scale_bridge.prices.domain import Doing, Facts
from services.scale_bridge.prices.read_models.price_delivery import BY_MOVE
from services.scale_bridge.transfer.domain.kinds import COMPARES, SENDS

_OWN: Final = """
SELECT device_id, number, name FROM device
WHERE tenant = $1 AND owner = $2 AND NOT removed AND number IS NOT NULL
"""
_TAKEN: Final = "SELECT * FROM price_delivery WHERE tenant = $1 AND price_id = $3"
_SOLD: Final = """
SELECT device_id, plu FROM desired WHERE tenant = $1 AND code = $4::bigint::text
"""
# Only what was read since the scale is where it is: before, it may have been another one.
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
# If nothing was to change, the read before it counts, unless something was written since.
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

# While it is read back, an operation that was applied is begun another time.
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
    present.price::text AS shown_price,
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
class Price:
    """A price as the shop announced it, in the scales' spelling."""

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A product of a scale that a price is for, and what is known of that."""

    number: int
    name: str
    plu: str
    facts: Facts
    changed: bool | None
    revision: int | None
    sending_at: datetime | None
    applied_at: datetime | None
    overridden_by: str | None
    shown_price: str | None


async def rows(connection: Any, tenant: str, owner: UUID, price: Price) -> Sequence[Row]:
    """Where it is, of one owner's scales, by number. `shown_price` is JSON."""
    given = tenant, owner, price.price_id, price.article, sorted(NOT_TRIED)
    return [_row(row) for row in await connection.fetch(LIST, *given)]


async def price_of(connection: Any, tenant: str, price_id: UUID) -> Price | None:
    """A price that came to some scale, also one that is no longer stored elsewhere."""
    row = await connection.fetchrow(KNOWN, tenant, price_id)
    return None if row is None else Price(price_id=price_id, **dict(row))


def _row(row: query.Row) -> Row:
    names = ("number", "name", "plu", "changed", "revision", "sending_at", "applied_at")
    return Row(
        **{name: row[name] for name in (*names, "overridden_by", "shown_price")},
        facts=_facts(row),
    )


def _facts(row: query.Row) -> Facts:
    doing = None
    if row["stage"] is not None:
        names = ("stage", "outcome", "code", "detail", "ended_at")
        doing = Doing(**{name: row[name] for name in names})
    return Facts(
        sold=row["sold"],
        moved=row["overridden_by"] == BY_MOVE,
        doing=doing,
        **{
            name: row[name]
            for name in ("taken_at", "overridden_at", "verified_at", "seen_otherwise")
        },
    )
