"""The read model `schedule`: the state of each schedule, which runs are due, which are running.

A row is the state at `version` of the schedule's stream: a decision reads only the later events,
since runs accumulate for years.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts import scale_bridge
from contracts.envelope import Envelope
from contracts.scale_bridge import (
    DeviceId,
    DeviceRemoved,
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection
from services.scale_bridge.schedules.domain.schedule import Schedule, evolve

SCHEDULE: Final = Table(
    "schedule",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("device_id", Uuid, primary_key=True),
    Column("removed", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("interval_minutes", Integer),
    Column("next_run_at", DateTime(timezone=True)),
    Column("running", Uuid),
    Column("claimed_at", DateTime(timezone=True)),
    Column("last_run_at", DateTime(timezone=True)),
    Column("last_status", Text),
    Column("last_error", Text),
    Column("calendar", JSONB),
    Column("slot", DateTime(timezone=True)),
    Column("skipped_at", DateTime(timezone=True)),
    Column("skipped_due_at", DateTime(timezone=True)),
    Column("skipped_runs", Integer),
    Column("skipped_reason", Text),
)
"""From `enabled` on the columns are the fields of a `Schedule`. `removed`: the device is."""

_FIELDS: Final = [field.name for field in fields(Schedule)]

FIND: Final = "SELECT * FROM schedule WHERE tenant = $1 AND device_id = $2"
DUE: Final = """
SELECT * FROM schedule
WHERE enabled AND NOT removed AND running IS NULL AND next_run_at <= $1
ORDER BY next_run_at, device_id LIMIT $2
"""
NEXT: Final = """
SELECT min(next_run_at) FROM schedule WHERE enabled AND NOT removed AND running IS NULL
"""
RUNNING: Final = """
SELECT * FROM schedule WHERE running IS NOT NULL ORDER BY claimed_at, device_id LIMIT $1
"""
KNOWN: Final = """
SELECT schedule.* FROM schedule
JOIN unnest($1::text[], $2::uuid[]) AS asked (tenant, device_id) USING (tenant, device_id)
"""

SAVE: Final = upsert(SCHEDULE, "removed", "version", *_FIELDS, insert_only="removed")
REMOVE: Final = upsert(
    SCHEDULE, "removed", "version", "enabled", insert_only=("version", "enabled")
)

_Key: TypeAlias = tuple[str, UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRow:
    """A schedule at a version of its stream."""

    tenant: str
    device_id: DeviceId
    version: int
    schedule: Schedule


def projection() -> Projection[ScaleBridgeEvent]:
    """The projection `schedule`."""
    return Projection(
        name="schedule",
        tables=("schedule",),
        topics=(scale_bridge.SCHEDULES, scale_bridge.DEVICES),
        codec=codec_of(scale_bridge.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[ScaleBridgeEvent]]) -> None:
    """Apply the events to the rows of their schedules."""
    by_device: dict[_Key, list[Envelope[ScaleBridgeEvent]]] = {}
    removed: set[_Key] = set()
    for envelope in events:
        match envelope.event:
            case ScheduleSet() | ScheduleClaimed() | ScheduleSkipped() | ScheduleRan() as event:
                by_device.setdefault((envelope.tenant, event.device_id), []).append(envelope)
            case DeviceRemoved(device_id=device_id):
                removed.add((envelope.tenant, device_id))
            case _:
                pass
    if by_device:
        await _save(connection, by_device)
    if removed:
        await REMOVE.put(connection, [(*key, True, 0, False) for key in removed])


async def find(connection: Any, tenant: str, device_id: UUID) -> ScheduleRow | None:
    """The row of a schedule; None if it was never set."""
    row = await query.fetchrow(connection, FIND, tenant, device_id)
    return None if row is None else _schedule_row(row)


async def due(connection: Any, now: datetime, *, limit: int) -> Sequence[ScheduleRow]:
    """Schedules with a run that is due, of all tenants the connection sees, longest due first."""
    return [_schedule_row(row) for row in await query.fetch(connection, DUE, now, limit)]


async def seconds_to_next(connection: Any, now: datetime) -> float | None:
    """Seconds until the next run is due, below 0 if one is due now; None without schedules."""
    next_run: datetime | None = await query.fetchval(connection, NEXT)
    return None if next_run is None else (next_run - now).total_seconds()


async def running(connection: Any, *, limit: int) -> Sequence[ScheduleRow]:
    """Schedules whose run is claimed, the longest first."""
    return [_schedule_row(row) for row in await query.fetch(connection, RUNNING, limit)]


async def _save(
    connection: Connection, by_device: Mapping[_Key, Sequence[Envelope[ScaleBridgeEvent]]]
) -> None:
    rows = await connection.fetch(KNOWN, *zip(*by_device, strict=True))
    known = {(row["tenant"], row["device_id"]): _schedule_row(row) for row in rows}
    saved = []
    for key, envelopes in by_device.items():
        before = known[key].schedule if key in known else Schedule()
        after = reduce(evolve, (envelope.event for envelope in envelopes), before)
        saved.append((*key, False, envelopes[-1].version, *_columns(after)))
    await SAVE.put(connection, saved)


def _columns(schedule: Schedule) -> list[Any]:
    values = {name: getattr(schedule, name) for name in _FIELDS}
    calendar = schedule.calendar
    values["calendar"] = None if calendar is None else msgspec.json.encode(calendar).decode()
    return list(values.values())


def _schedule_row(row: query.Row) -> ScheduleRow:
    values = {name: row[name] for name in _FIELDS}
    if values["calendar"] is not None:
        values["calendar"] = msgspec.json.decode(values["calendar"], type=ScheduleCalendar)
    return ScheduleRow(
        tenant=row["tenant"],
        device_id=DeviceId(row["device_id"]),
        version=row["version"],
        schedule=Schedule(**values),
    )
