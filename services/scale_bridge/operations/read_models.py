"""The read model `operation`: one row per operation, with its request and its end (R24)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
)

from contracts import scale_bridge
from contracts.envelope import Envelope
from contracts.scale_bridge import (
    OperationApplied,
    OperationEnded,
    OperationQueued,
    OperationSending,
    ScaleBridgeEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream

OPERATION: Final = Table(
    "operation",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("operation_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("device_id", Uuid, nullable=False),
    Column("kind", Text),
    Column("full_upload", Boolean),
    Column("asked_by", Text),
    Column("stage", Text, nullable=False),
    Column("outcome", Text),
    Column("code", Text),
    Column("detail", Text),
    Column("result", Integer),
    Column("revision", BigInteger),
    Column("content", Text),
    Column("items", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", DateTime(timezone=True)),
    Column("began_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
"""`version` is the version of the operation's stream; `began_at` is of the first attempt."""

_NAMES: Final = [column.name for column in OPERATION.columns][4:]

SAVE: Final = upsert(
    OPERATION,
    newer="version",
    coalesce=[name for name in _NAMES if name not in ("stage", "attempts")],
    greatest="attempts",
    insert_only="device_id",
)


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection `operation`."""
    return Projection(
        name="operation",
        tables=("operation",),
        topics=(scale_bridge.OPERATIONS,),
        codec=codec_of(scale_bridge.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Insert or update the rows of the operations that the events are about."""
    rows = []
    for envelope in events:
        match envelope.event:
            case (
                OperationQueued() | OperationSending() | OperationApplied() | OperationEnded()
            ) as event:
                key = {"tenant": envelope.tenant, "operation_id": event.operation_id}
                more = {"device_id": event.device_id, "version": envelope.version, "attempts": 0}
                rows.append({**key, **more, **_row(event)})
            case _:
                pass
    await SAVE.put(connection, rows)


def _row(
    event: OperationQueued | OperationSending | OperationApplied | OperationEnded,
) -> Mapping[str, Any]:
    match event:
        case OperationQueued():
            request = {name: getattr(event, name) for name in ("kind", "asked_by", "queued_at")}
            return {**request, "full_upload": event.full, "stage": "queued"}
        case OperationSending():
            attempts = {"attempts": event.attempt, "revision": event.revision}
            first = {"began_at": event.began_at} if event.attempt == 1 else {}
            return {**attempts, **first, "stage": "sending"}
        case OperationApplied():
            applied = {name: getattr(event, name) for name in ("revision", "content", "items")}
            return {**applied, "stage": "applied"}
        case OperationEnded():
            names = [name for name in _NAMES if hasattr(event, name)]
            return {name: getattr(event, name) for name in names} | {"stage": "ended"}


# The offset is applied to the index alone.
LATEST: Final = """
SELECT * FROM operation WHERE tenant = $1 AND operation_id IN (
    SELECT operation_id FROM operation WHERE tenant = $1 AND device_id = $2
    ORDER BY queued_at DESC, operation_id LIMIT $3 OFFSET $4
) ORDER BY queued_at DESC, operation_id
"""
LATEST_AFTER: Final = """
SELECT * FROM operation WHERE tenant = $1 AND device_id = $2
    AND queued_at <= $4 AND (queued_at < $4 OR operation_id > $5)
ORDER BY queued_at DESC, operation_id LIMIT $3
"""


async def latest(
    connection: Any, tenant: str, device_id: UUID, *, limit: int, offset: int = 0
) -> Sequence[query.Row]:
    """Rows of `OPERATION`, the operation queued last first."""
    return await query.fetch(connection, LATEST, tenant, device_id, limit, offset)


async def latest_after(
    connection: Any, tenant: str, device_id: UUID, position: tuple[datetime, UUID], *, limit: int
) -> Sequence[query.Row]:
    """The same, after the operation at a position: when it was queued, and its id."""
    return await query.fetch(connection, LATEST_AFTER, tenant, device_id, limit, *position)
