"""Which events are in quarantine, and what was decided about them?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from libs.postgres.filters import Filters, eq
from libs.postgres.pool import Pool
from libs.postgres.upsert import upsert
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
"""`quarantine_id` is the event id in the log; `decision` is the reason of a drop."""

LISTED_LENGTH: Final = 1000
"""The characters of an event in a list: a page of whole events could be huge."""

_DECISION: Final = ("decided_at", "decided_by", "decision", "mended_as")
SAVE: Final = upsert(
    QUARANTINE,
    keep=("scan_id", "code", "reason", "raw", "received_at", "status", *_DECISION),
    absent={"status": "open"},
)
_Row: TypeAlias = dict[str, object]


class Status(StrEnum):
    """The state of a quarantined event."""

    OPEN = "open"
    MENDED = "mended"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineFilter:
    """The quarantined events of a tenant; None matches every status or code."""

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
    """Store a row for every quarantined event, with the decision about it."""
    rows = []
    for envelope in events:
        if change := _row_change(envelope):
            quarantine_id, fields = change
            key = {"tenant": envelope.tenant, "quarantine_id": quarantine_id}
            rows.append({**key, "status": Status.OPEN, **fields})
    await SAVE.put(connection, rows)


async def page(
    connection: Any, filters: QuarantineFilter, *, limit: int, offset: int
) -> Sequence[query.Row]:
    """Rows newest first: the columns of `QUARANTINE`, `raw` truncated, and `raw_length`."""
    listed_columns = [column for column in QUARANTINE.columns if column.name != "raw"]
    c = QUARANTINE.c
    newest = (c.received_at.desc(), c.quarantine_id)
    page_keys = select(c.tenant, c.quarantine_id).where(_matching(filters)).order_by(*newest)
    # The offset skips keys, so no texts are read for it.
    keys = page_keys.limit(limit).offset(offset).subquery()
    statement = (
        select(
            *listed_columns,
            func.left(c.raw, LISTED_LENGTH).label("raw"),
            func.length(c.raw).label("raw_length"),
        )
        .join(keys, and_(c.tenant == keys.c.tenant, c.quarantine_id == keys.c.quarantine_id))
        .order_by(*newest)
    )
    return await query.fetch(connection, statement)


async def counts(connection: Any, filters: QuarantineFilter) -> Mapping[str, int]:
    """The number of events by code, the most frequent first."""
    number = func.count()
    statement = (
        select(QUARANTINE.c.code, number.label("number"))
        .where(_matching(filters))
        .group_by(QUARANTINE.c.code)
        .order_by(number.desc(), QUARANTINE.c.code)
    )
    return {row["code"]: row["number"] for row in await query.fetch(connection, statement)}


async def ids(
    connection: Any, filters: QuarantineFilter, *, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Ids in ascending order, behind `after`."""
    statement = select(QUARANTINE.c.quarantine_id).where(_matching(filters))
    if after is not None:
        statement = statement.where(QUARANTINE.c.quarantine_id > after)
    statement = statement.order_by(QUARANTINE.c.quarantine_id).limit(limit)
    return [UUID(str(row["quarantine_id"])) for row in await query.fetch(connection, statement)]


async def open_by_code(pool: Pool) -> Mapping[str, int]:
    """The number of open events by code, of all tenants. `pool` must see all tenants."""
    statement = (
        select(QUARANTINE.c.code, func.count().label("number"))
        .where(QUARANTINE.c.status == Status.OPEN, QUARANTINE.c.code.is_not(None))
        .group_by(QUARANTINE.c.code)
    )
    return {row["code"]: row["number"] for row in await query.fetch(pool, statement)}


def _matching(filters: QuarantineFilter) -> ColumnElement[bool]:
    # A row without `received_at` is a decision that arrived before its event.
    return and_(QUARANTINE.c.received_at.is_not(None), _FILTERS.where(asdict(filters)))


_FILTERS: Final = Filters(
    tenant=eq(QUARANTINE.c.tenant), status=eq(QUARANTINE.c.status), code=eq(QUARANTINE.c.code)
)


def _row_change(envelope: Envelope[IngestEvent]) -> tuple[UUID, _Row] | None:
    """The id of the row that an event changes, and the fields it sets."""
    match envelope.event:
        case ScanQuarantined() as quarantined:
            return envelope.event_id, {
                "scan_id": quarantined.scan_id,
                "code": quarantined.code,
                "reason": quarantined.reason,
                "raw": quarantined.raw,
                "received_at": quarantined.received_at,
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
