"""The read model `shown`: what each scale showed of a product, from when to when.

`shown` has a row for every read that found a product changed, `showing` the last of these rows.
`reading` has the moments when a scale was read, was written to without a read-back, or got another
address (`lost`). Events may arrive in any order.
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
from libs.postgres import query
from libs.postgres.upsert import insert_missing, upsert
from libs.projections.projection import Connection, Projection
from services.scale_bridge.transfer.domain.failure_texts import NOT_SHOWN
from services.scale_bridge.transfer.domain.kinds import READS, Outcome

DISPLAYED: Final = Table(
    "shown",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("plu", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), primary_key=True),
    Column("operation_id", Uuid, primary_key=True),
    Column("product", JSONB),
)
"""`product` is null if the product was no longer shown."""

DISPLAYED_LAST: Final = Table(
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
"""`kind` is read, written or lost; `told_by` the operation, or the event of the lost address."""

SAVE: Final = insert_missing(DISPLAYED)
SAVE_LAST: Final = upsert(DISPLAYED_LAST, newer=("seen_at", "operation_id"))
SAVE_READING: Final = insert_missing(READING)

READ: Final = "read"
WRITTEN: Final = "written"
LOST: Final = "lost"

# What was shown at an earlier address does not count.
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

# Intervals that ended before the retention are left out: some of them may be deleted already.
HISTORY: Final = """
SELECT since, until, turn AS operation_id, product FROM (
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

    `since` and `operation_id`, the operation that read it, are its position in the history.
    """

    product: Mapping[str, Any] | None
    since: datetime
    until: datetime | None
    operation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was shown at an instant.

    `verified_at` is the last read before the instant, `next_verified_at` the first one after it.
    Without `since` the product was never read. The answer is not `certain` if the scale was written
    to after the last read.
    """

    product: Mapping[str, Any] | None
    since: datetime | None
    until: datetime | None
    verified_at: datetime
    next_verified_at: datetime | None
    certain: bool


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection `shown`."""
    return Projection(
        name="shown",
        tables=("shown", "showing", "reading"),
        topics=(scale_bridge.SHOWN, scale_bridge.OPERATIONS, scale_bridge.CATALOGUES),
        codec=codec_of(scale_bridge.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Insert what every read found changed, and the readings of the scale as a whole."""
    points = [row for envelope in events for row in _points(envelope)]
    await SAVE.put(connection, points)
    await SAVE_LAST.put(connection, points)
    readings = (row for envelope in events if (row := _reading(envelope)))
    await SAVE_READING.put(connection, readings)


async def at(
    connection: Any, tenant: str, device_id: UUID, plu: str, instant: datetime
) -> Answer | None:
    """What was shown at an instant; None if the scale was not read before it."""
    row = await connection.fetchrow(AT, tenant, device_id, plu, instant)
    if row is None or row["verified_at"] is None:
        return None
    written_at = row["written_at"]
    certain = written_at is None or written_at <= row["verified_at"]
    return query.row_as(Answer, row, product=_product(row["product"]), certain=certain)


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
    """What was shown of a product, the latest first.

    Only intervals that ended after `ended_after`, and lie before the position `before`.
    """
    position = before or (None, None)
    rows = await connection.fetch(HISTORY, tenant, device_id, plu, limit, ended_after, *position)
    return [query.row_as(Interval, row, product=_product(row["product"])) for row in rows]


def _product(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else msgspec.json.decode(text)


def _points(envelope: Envelope[ScaleBridgeEvent]) -> Iterator[_ShownRow]:
    match envelope.event:
        case ProductsShown() as event:
            position = (event.seen_at, event.operation_id)
            for plu, product in event.shown.items():
                text = _encode(product).decode()
                yield envelope.tenant, event.device_id, plu, *position, text
            for plu in event.gone:
                yield envelope.tenant, event.device_id, plu, *position, None
        case _:
            return


def _reading(envelope: Envelope[ScaleBridgeEvent]) -> _ReadingRow | None:
    match envelope.event:
        case ProductsShown(device_id=device, operation_id=by, seen_at=at):
            return envelope.tenant, device, at, by, READ
        case OperationEnded(device_id=device, operation_id=by, ended_at=at) as ended:
            kind = _reading_kind(ended)
            return None if kind is None else (envelope.tenant, device, at, by, kind)
        case OperationApplied(device_id=device, operation_id=by, applied_at=at):
            return envelope.tenant, device, at, by, WRITTEN
        case CatalogueInvalidated(device_id=device, invalidated_at=at):
            return envelope.tenant, device, at, envelope.event_id, LOST
        case _:
            return None


def _reading_kind(ended: OperationEnded) -> str | None:
    """Whether an operation read or wrote the scale as a whole."""
    verified = ended.outcome == Outcome.VERIFIED or ended.code == NOT_SHOWN
    if verified or (ended.outcome == Outcome.DONE and ended.kind in READS):
        return READ
    # An upload with an unknown outcome may have been imported.
    return WRITTEN if ended.outcome == Outcome.UNKNOWN else None


ScaleKey: TypeAlias = tuple[str, UUID]
"""The tenant and the id of a device."""

SCALES: Final = """
SELECT tenant, device_id FROM device WHERE (tenant, device_id) > ($1, $2::uuid)
ORDER BY tenant, device_id LIMIT $3
"""

# What was shown at an earlier address does not count, so all of it may go.
DELETE_PRODUCTS: Final = """
WITH over AS (
    SELECT plu, seen_at, operation_id FROM shown AS old
    WHERE tenant = $1 AND device_id = $2 AND seen_at <= $3 AND (
        seen_at <= (SELECT max(at) FROM reading
            WHERE tenant = $1 AND device_id = $2 AND kind = 'lost' AND at <= $3)
        OR EXISTS (SELECT FROM shown AS next
            WHERE next.tenant = $1 AND next.device_id = $2 AND next.plu = old.plu
                AND next.seen_at <= $3
                AND (next.seen_at, next.operation_id) > (old.seen_at, old.operation_id))
    )
    ORDER BY seen_at LIMIT $4
)
DELETE FROM shown USING over WHERE shown.tenant = $1 AND shown.device_id = $2
    AND shown.plu = over.plu AND shown.seen_at = over.seen_at
    AND shown.operation_id = over.operation_id
"""
DELETE_READINGS: Final = """
WITH over AS (
    SELECT at, told_by, kind FROM reading AS old
    WHERE tenant = $1 AND device_id = $2 AND at <= $3 AND EXISTS (
        SELECT FROM reading AS next
        WHERE next.tenant = $1 AND next.device_id = $2 AND next.kind = old.kind
            AND next.at <= $3 AND (next.at, next.told_by) > (old.at, old.told_by)
    )
    ORDER BY at LIMIT $4
)
DELETE FROM reading USING over WHERE reading.tenant = $1 AND reading.device_id = $2
    AND reading.at = over.at AND reading.told_by = over.told_by AND reading.kind = over.kind
"""


async def scales(connection: Any, after: ScaleKey, *, limit: int) -> Sequence[ScaleKey]:
    """The next scales of all tenants after one, removed ones too, in a fixed order."""
    rows = await connection.fetch(SCALES, *after, limit)
    return [(row["tenant"], row["device_id"]) for row in rows]


async def delete_old(
    connection: Connection, scale: ScaleKey, until: datetime, *, limit: int
) -> int:
    """Delete rows that no answer about the time since `until` needs; how many. Safe to repeat.

    The last row of every product up to `until` stays, and the last reading of each kind. Rows of
    products go before the readings that end their intervals. A rebuild restores all of them.
    """
    for statement in (DELETE_PRODUCTS, DELETE_READINGS):
        done = await connection.execute(statement, *scale, until, limit)
        if deleted := int(done.rpartition(" ")[2]):
            return deleted
    return 0
