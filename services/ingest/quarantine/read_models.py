"""What arrived and could not be understood, and what became of it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    func,
    select,
)

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, QuarantineDropped, QuarantineMended, ScanQuarantined
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from libs.projections.projection import Connection, Projection, by_stream

QUARANTINE: Final = Table(
    "quarantine",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("quarantine_id", Uuid, primary_key=True),
    Column("scan_id", Uuid),
    Column("code", Text),
    Column("reason", Text),
    Column("raw", Text),
    Column("received_at", DateTime(timezone=True)),
    Column("status", Text, nullable=False),
    Column("decided_at", DateTime(timezone=True)),
    Column("decided_by", Text),
    Column("decision", Text),
    Column("mended_as", Uuid),
)
"""`quarantine_id` is the id of the event in the log; `decision` is why it was dropped."""

LISTED_LENGTH: Final = 1000
"""How much of an event a list shows, in characters: a page of whole ones could be huge."""

UPSERT: Final = """
INSERT INTO quarantine AS known
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
    $7::timestamptz[], $8::text[], $9::timestamptz[], $10::text[], $11::text[], $12::uuid[])
ORDER BY 1, 2
ON CONFLICT (tenant, quarantine_id) DO UPDATE SET
    scan_id = coalesce(known.scan_id, excluded.scan_id),
    code = coalesce(known.code, excluded.code),
    reason = coalesce(known.reason, excluded.reason),
    raw = coalesce(known.raw, excluded.raw),
    received_at = coalesce(known.received_at, excluded.received_at),
    status = CASE known.status WHEN 'open' THEN excluded.status ELSE known.status END,
    decided_at = coalesce(known.decided_at, excluded.decided_at),
    decided_by = coalesce(known.decided_by, excluded.decided_by),
    decision = coalesce(known.decision, excluded.decision),
    mended_as = coalesce(known.mended_as, excluded.mended_as)
"""

_Row: TypeAlias = dict[str, object]


class Status(StrEnum):
    """What became of a quarantined event."""

    OPEN = "open"
    MENDED = "mended"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineFilter:
    """Whose quarantined events are asked for; None filters nothing."""

    tenant: str
    status: Status | None = Status.OPEN
    code: str | None = None


def projection() -> Projection[IngestEvent]:
    """The projection."""
    return Projection(
        name="quarantine",
        tables=("quarantine",),
        topics=(ingest.QUARANTINE,),
        codec=codec_of(ingest.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Keep a row of everything quarantined, and what was decided about it.

    One statement for both, in the order of the ids, so that two batches never wait crosswise.
    """
    rows: dict[tuple[str, UUID], _Row] = {}
    for envelope in events:
        if told := _row_of(envelope):
            quarantine_id, said = told
            rows.setdefault((envelope.tenant, quarantine_id), {}).update(said)
    if rows:
        names = [column.name for column in QUARANTINE.columns][2:]
        given = [
            [row.get(name, Status.OPEN if name == "status" else None) for row in rows.values()]
            for name in names
        ]
        tenants, ids = zip(*rows, strict=True)
        await connection.execute(UPSERT, tenants, ids, *given)


async def page(
    connection: Any, wanted: QuarantineFilter, *, limit: int, offset: int
) -> Sequence[query.Row]:
    """Rows newest first: the columns of `QUARANTINE`, of `raw` the beginning, and `raw_length`."""
    shown = [column for column in QUARANTINE.columns if column.name != "raw"]
    c = QUARANTINE.c
    newest = (c.received_at.desc(), c.quarantine_id)
    found = select(c.tenant, c.quarantine_id).where(_passing(wanted)).order_by(*newest)
    # Of what is passed over, no text is read.
    keys = found.limit(limit).offset(offset).subquery()
    asked = (
        select(
            *shown,
            func.left(c.raw, LISTED_LENGTH).label("raw"),
            func.length(c.raw).label("raw_length"),
        )
        .join(keys, and_(c.tenant == keys.c.tenant, c.quarantine_id == keys.c.quarantine_id))
        .order_by(*newest)
    )
    return await query.fetch(connection, asked)


async def counts(connection: Any, wanted: QuarantineFilter) -> Mapping[str, int]:
    """How many there are of each code, the most frequent first."""
    number = func.count()
    asked = (
        select(QUARANTINE.c.code, number.label("number"))
        .where(_passing(wanted))
        .group_by(QUARANTINE.c.code)
        .order_by(number.desc(), QUARANTINE.c.code)
    )
    return {row["code"]: row["number"] for row in await query.fetch(connection, asked)}


async def ids(
    connection: Any, wanted: QuarantineFilter, *, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Ids in their own order, behind `after`."""
    asked = select(QUARANTINE.c.quarantine_id).where(_passing(wanted))
    if after is not None:
        asked = asked.where(QUARANTINE.c.quarantine_id > after)
    asked = asked.order_by(QUARANTINE.c.quarantine_id).limit(limit)
    return [UUID(str(row["quarantine_id"])) for row in await query.fetch(connection, asked)]


async def open_by_code(pool: Pool) -> Mapping[str, int]:
    """How many wait to be decided about, of all tenants, by code. `pool` must see all of them."""
    asked = (
        select(QUARANTINE.c.code, func.count().label("number"))
        .where(QUARANTINE.c.status == Status.OPEN, QUARANTINE.c.code.is_not(None))
        .group_by(QUARANTINE.c.code)
    )
    async with acquire(pool) as connection:
        return {row["code"]: row["number"] for row in await query.fetch(connection, asked)}


def _passing(wanted: QuarantineFilter) -> ColumnElement[bool]:
    # A decision that was heard of before its event waits for it unseen.
    conditions = [QUARANTINE.c.tenant == wanted.tenant, QUARANTINE.c.received_at.is_not(None)]
    if wanted.status is not None:
        conditions.append(QUARANTINE.c.status == wanted.status)
    if wanted.code is not None:
        conditions.append(QUARANTINE.c.code == wanted.code)
    return and_(*conditions)


def _row_of(envelope: Envelope[IngestEvent]) -> tuple[UUID, _Row] | None:
    """What an event says of which row."""
    match envelope.event:
        case ScanQuarantined() as kept:
            return envelope.event_id, {
                "scan_id": kept.scan_id,
                "code": kept.code,
                "reason": kept.reason,
                "raw": kept.raw,
                "received_at": kept.received_at,
            }
        case QuarantineMended() as mended:
            return mended.quarantine_id, {
                "status": Status.MENDED,
                "decided_at": mended.mended_at,
                "decided_by": mended.mended_by,
                "mended_as": mended.scan_id,
            }
        case QuarantineDropped() as dropped:
            return dropped.quarantine_id, {
                "status": Status.DROPPED,
                "decided_at": dropped.dropped_at,
                "decided_by": dropped.dropped_by,
                "decision": dropped.reason,
            }
        case _:
            return None
