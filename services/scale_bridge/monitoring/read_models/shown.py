"""What did a scale show of a product, from when to when?

`shown` holds a row for every time a read of the scale found a product changed, `showing` the last
of them, `reading` what is known about the scale as a whole: when it was read, when something was
written to it and not read back yet, and when it may have become another scale. The order of arrival
does not matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from contracts import scale_bridge
from contracts.envelope import Envelope
from contracts.scale_bridge import (
    CatalogueInvalidated,
    OperationApplied,
    OperationEnded,
    ProductsShown,
    ScaleBridgeEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.projections.projection import Connection, Projection
from services.scale_bridge.transfer.domain.failure_texts import NOT_SHOWN
from services.scale_bridge.transfer.domain.kinds import READS

SHOWN: Final = Table(
    "shown",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), primary_key=True),
    Column("operation_id", Uuid, primary_key=True),
    Column("product", JSONB),
)
"""`product` is null from when on it was shown no more."""

SHOWING: Final = Table(
    "showing",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("operation_id", Uuid, nullable=False),
    Column("product", JSONB),
)
"""The last row of `shown` for each product."""

READING: Final = Table(
    "reading",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("told_by", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
)
"""`kind` is read, written or lost; `told_by` an operation, or the event that says it was lost."""

SAVE: Final = """
INSERT INTO shown (tenant, device_id, plu, seen_at, operation_id, product)
SELECT tenant, device_id, plu, seen_at, operation_id, product::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
    AS given (tenant, device_id, plu, seen_at, operation_id, product) ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING
"""

SAVE_LAST: Final = """
INSERT INTO showing AS known (tenant, device_id, plu, seen_at, operation_id, product)
SELECT tenant, device_id, plu, seen_at, operation_id, product::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
    AS given (tenant, device_id, plu, seen_at, operation_id, product) ORDER BY 1, 2, 3
ON CONFLICT (tenant, device_id, plu) DO UPDATE SET seen_at = excluded.seen_at,
    operation_id = excluded.operation_id, product = excluded.product
WHERE (excluded.seen_at, excluded.operation_id) > (known.seen_at, known.operation_id)
"""

SAVE_READING: Final = """
INSERT INTO reading (tenant, device_id, at, told_by, kind)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::text[])
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING
"""


READ: Final = "read"
WRITTEN: Final = "written"
LOST: Final = "lost"

# What was lost before must not answer for what came after.
AT: Final = """
WITH lost AS (
    SELECT coalesce(max(at), '-infinity') AS at FROM reading
    WHERE tenant = $1 AND device_id = $2 AND kind = 'lost' AND at <= $4
), known AS (
    SELECT
        (SELECT max(at) FROM reading WHERE tenant = $1 AND device_id = $2 AND kind = 'read'
            AND at > lost.at AND at <= $4) AS verified_at,
        (SELECT max(at) FROM reading WHERE tenant = $1 AND device_id = $2 AND kind = 'written'
            AND at > lost.at AND at <= $4) AS written_at
    FROM lost
), point AS (
    SELECT seen_at, product FROM shown, lost
    WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND seen_at > lost.at AND seen_at <= $4
    ORDER BY seen_at DESC, operation_id DESC LIMIT 1
)
SELECT known.verified_at, known.written_at, point.seen_at AS since, point.product::text AS product,
    least(
        (SELECT min(seen_at) FROM shown
            WHERE tenant = $1 AND device_id = $2 AND plu = $3 AND seen_at > $4),
        (SELECT min(at) FROM reading
            WHERE tenant = $1 AND device_id = $2 AND kind = 'lost' AND at > $4)
    ) AS until,
    (SELECT min(at) FROM reading
        WHERE tenant = $1 AND device_id = $2 AND kind = 'read' AND at > $4) AS next_verified_at
FROM known LEFT JOIN point ON true
"""

# What ended before it is kept for sure need not be there any more, so that it is not answered.
HISTORY: Final = """
SELECT since, until, turn, product FROM (
    SELECT at AS since, turn, lead(at) OVER (ORDER BY at, turn) AS until, product::text, lost
    FROM (
        SELECT seen_at AS at, operation_id AS turn, product, false AS lost FROM shown
        WHERE tenant = $1 AND device_id = $2 AND plu = $3
        UNION ALL
        SELECT at, told_by, NULL, true FROM reading
        WHERE tenant = $1 AND device_id = $2 AND kind = 'lost'
    ) AS told
) AS intervals
WHERE NOT lost AND ($5::timestamptz IS NULL OR until IS NULL OR until > $5)
    AND ($6::timestamptz IS NULL OR (since, turn) < ($6, $7::uuid))
ORDER BY since DESC, turn DESC LIMIT $4
"""

_ShownRow: TypeAlias = tuple[str, UUID, str, datetime, UUID, str | None]
_ReadingRow: TypeAlias = tuple[str, UUID, datetime, UUID, str]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """What was shown from `since` until just before `until`; `product` is None for nothing.

    `turn` is the operation that saw it: with `since` it is the interval's place in the history.
    """

    product: Mapping[str, Any] | None
    since: datetime
    until: datetime | None
    turn: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was shown at an instant.

    `verified_at` is the last read before it and `next_verified_at` the first one after. Without
    `since` it was never seen. It is not `certain` if something was written after the last read.
    """

    product: Mapping[str, Any] | None
    since: datetime | None
    until: datetime | None
    verified_at: datetime
    next_verified_at: datetime | None
    certain: bool


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection."""
    return Projection(
        name="shown",
        tables=("shown", "showing", "reading"),
        topics=(scale_bridge.SHOWN, scale_bridge.OPERATIONS, scale_bridge.CATALOGUES),
        codec=codec_of(scale_bridge.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Keep what every read found changed, and what is known of the scale as a whole."""
    points = [row for envelope in events for row in _points(envelope)]
    if points:
        await connection.execute(SAVE, *zip(*points, strict=True))
        last: dict[tuple[str, UUID, str], _ShownRow] = {}
        for point in sorted(points, key=lambda point: point[3:5]):
            last[point[:3]] = point
        await connection.execute(SAVE_LAST, *zip(*last.values(), strict=True))
    readings = [row for envelope in events if (row := _reading(envelope)) is not None]
    if readings:
        await connection.execute(SAVE_READING, *zip(*readings, strict=True))


async def at(
    connection: Any, tenant: str, device_id: UUID, plu: str, instant: datetime
) -> Answer | None:
    """What was shown then; None if it is not known, because nothing was verified before."""
    row = await connection.fetchrow(AT, tenant, device_id, plu, instant)
    if row is None or row["verified_at"] is None:
        return None
    written_at = row["written_at"]
    return Answer(
        product=_product(row["product"]),
        since=row["since"],
        until=row["until"],
        verified_at=row["verified_at"],
        next_verified_at=row["next_verified_at"],
        certain=written_at is None or written_at <= row["verified_at"],
    )


async def history(
    connection: Any,
    tenant: str,
    device_id: UUID,
    plu: str,
    *,
    limit: int,
    ended_after: datetime | None = None,
    before: tuple[datetime, UUID] | None = None,
) -> Sequence[Interval]:
    """What was shown of a product, the latest first: of what ended after a moment, and from before
    the place of the last one seen.
    """
    place = before or (None, None)
    rows = await connection.fetch(HISTORY, tenant, device_id, plu, limit, ended_after, *place)
    return [
        Interval(
            product=_product(row["product"]),
            since=row["since"],
            until=row["until"],
            turn=row["turn"],
        )
        for row in rows
    ]


def _product(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else msgspec.json.decode(text)


def _points(envelope: Envelope[ScaleBridgeEvent]) -> Iterator[_ShownRow]:
    match envelope.event:
        case ProductsShown() as told:
            place = (told.seen_at, told.operation_id)
            for plu, product in told.shown.items():
                text = _encode(product).decode()
                yield envelope.tenant, told.device_id, plu, *place, text
            for plu in told.gone:
                yield envelope.tenant, told.device_id, plu, *place, None
        case _:
            return


def _reading(envelope: Envelope[ScaleBridgeEvent]) -> _ReadingRow | None:
    match envelope.event:
        case ProductsShown(device_id=device, operation_id=by, seen_at=at):
            return envelope.tenant, device, at, by, READ
        case OperationEnded(device_id=device, operation_id=by, ended_at=at) as ended:
            kind = _meant(ended)
            return None if kind is None else (envelope.tenant, device, at, by, kind)
        case OperationApplied(device_id=device, operation_id=by, applied_at=at):
            return envelope.tenant, device, at, by, WRITTEN
        case CatalogueInvalidated(device_id=device, invalidated_at=at):
            return envelope.tenant, device, at, envelope.event_id, LOST
        case _:
            return None


def _meant(ended: OperationEnded) -> str | None:
    """What an operation says of the scale as a whole."""
    read = ended.outcome == "verified" or ended.code == NOT_SHOWN
    if read or (ended.outcome == "done" and ended.kind in READS):
        return READ
    # An upload with an unknown outcome may have been imported.
    return WRITTEN if ended.outcome == "unknown" else None
