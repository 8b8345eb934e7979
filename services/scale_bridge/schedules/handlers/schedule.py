"""What happens when a schedule is set, when a run is due, and when one is over.

Everybody who looks may find the same run due: the log lets one of them claim it (R10). A claim
names the operation before there is one, so a claimer that dies loses nothing: the next worker that
looks orders it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import structlog

from contracts.scale_bridge import (
    DeviceId,
    OperationEnded,
    OperationId,
    ScaleBridgeEvent,
    ScheduleClaimed,
    ScheduleSkipped,
)
from libs.errors import NotFound, Unavailable
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool, acquire, tenant_transaction
from services.scale_bridge.context import Context
from services.scale_bridge.operations.handlers.requests import Enqueue, OperationRequest
from services.scale_bridge.schedules import adapters as zones
from services.scale_bridge.schedules.adapters import UnknownZone
from services.scale_bridge.schedules.domain.commands import (
    ClaimRun,
    RecordRun,
    ScheduleCommand,
    SetCalendar,
    SetSchedule,
)
from services.scale_bridge.schedules.domain.history import Schedule
from services.scale_bridge.schedules.domain.schedule import SCHEDULE
from services.scale_bridge.schedules.read_models import schedule as schedules
from services.scale_bridge.schedules.read_models.schedule import ScheduleRow
from services.scale_bridge.transfer.domain.kinds import Kind

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 20
AT_ONCE: Final = 200
"""How many schedules one look deals with."""
ORDERED_AFTER: Final = timedelta(seconds=10)
"""After so long a claim without an operation was left by a dead worker."""
BY_SCHEDULE: Final = "schedule"

Find: TypeAlias = Callable[[], Awaitable[ScheduleRow | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduling:
    """What is needed: `pool` sees all tenants, `enqueue` has operations done."""

    store: EventStore[ScaleBridgeEvent]
    pool: Pool
    enqueue: Enqueue


async def put(
    store: EventStore[ScaleBridgeEvent],
    reading: Pool,
    command: SetSchedule | SetCalendar,
    metadata: Metadata,
) -> Schedule:
    """Set a schedule; the schedule as it then is. Safe to repeat.

    Raises BadInterval, SchedulingOff, UnknownZone, LogUnavailable, Unavailable.
    """
    find = _finder(reading, metadata.tenant, command.device_id)
    return await _run(store, find, command.device_id, command, metadata)


async def set_default(context: Context, device_id: DeviceId, metadata: Metadata) -> None:
    """Give a new device the installation's interval, if there is one. Safe to repeat."""
    if context.default_interval is None:
        return
    command = SetSchedule(
        device_id=device_id,
        enabled=True,
        interval_minutes=context.default_interval,
        set_by=metadata.actor or BY_SCHEDULE,
        now=context.clock(),
    )
    find = _finder_in_all(context.pool, metadata.tenant, device_id)
    await _run(context.store, find, device_id, command, metadata)


async def get(
    store: EventStore[ScaleBridgeEvent], reading: Pool, tenant: str, device_id: DeviceId
) -> Schedule:
    """The schedule as the log has it; a disabled one if it was never set."""
    return (await _load(store, _finder(reading, tenant, device_id), tenant, device_id))[0]


async def zone(
    store: EventStore[ScaleBridgeEvent], pool: Pool, tenant: str, device_id: DeviceId
) -> ZoneInfo | None:
    """By whose clock a scale runs, if it has a calendar, even one switched off; `pool` sees all.

    None too if the zone is unknown by now. Raises Unavailable, LogUnavailable.
    """
    find = _finder_in_all(pool, tenant, device_id)
    calendar = (await _load(store, find, tenant, device_id))[0].calendar
    try:
        return None if calendar is None else zones.zone(calendar.zone)
    except UnknownZone:
        log.warning("zone not known", device=str(device_id))
        return None


async def run_due(scheduling: Scheduling, now: datetime) -> int:
    """Claim what is due and order it; how many runs were ours. One that fails stops no other."""
    async with acquire(scheduling.pool) as connection:
        found = await schedules.due(connection, now, limit=AT_ONCE)
    claimed = 0
    for row in found:
        metadata = Metadata(tenant=row.tenant, actor=BY_SCHEDULE)
        command = ClaimRun(device_id=row.device_id, now=now)
        try:
            claim = await _claim(scheduling.store, row, command, metadata)
            if claim is not None:
                begins = claim.begins_at or now
                ordered = _ordered(row, claim.operation_id)
                after = max(0.0, (begins - now).total_seconds())
                await scheduling.enqueue(replace(ordered, after_seconds=after))
                claimed += 1
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("run not begun", device=str(row.device_id), error=repr(error))
    return claimed


async def seconds_until_due(scheduling: Scheduling, now: datetime) -> float | None:
    """In how many seconds a run is due, negative if one is already; None if none ever is."""
    async with acquire(scheduling.pool) as connection:
        return await schedules.seconds_to_next(connection, now)


async def record_ended(scheduling: Scheduling, now: datetime) -> int:
    """Look after the runs under way: record those that ended, order those that never began.

    How many were recorded.
    """
    async with acquire(scheduling.pool) as connection:
        found = await schedules.running(connection, limit=AT_ONCE)
    recorded = 0
    for row in found:
        try:
            recorded += await _record_run(scheduling, row, now)
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("run not recorded", device=str(row.device_id), error=repr(error))
    return recorded


async def _record_run(scheduling: Scheduling, row: ScheduleRow, now: datetime) -> bool:
    store, run, since = scheduling.store, row.schedule.running, row.schedule.claimed_at
    if run is None or since is None:
        return False
    history = await store.read(row.tenant, f"operation-{run}")
    ended = next((event for event in history.events if isinstance(event, OperationEnded)), None)
    if ended is not None:
        went_well = ended.outcome in ("done", "verified")
        return await _record(scheduling, row, run, None if went_well else ended.detail, now)
    if not history.events and now - since >= ORDERED_AFTER:
        try:
            await scheduling.enqueue(_ordered(row, run))
        except NotFound as error:
            return await _record(scheduling, row, run, str(error), now)
    return False


async def _record(
    scheduling: Scheduling,
    row: ScheduleRow,
    run: OperationId,
    error: str | None,
    now: datetime,
) -> bool:
    command = RecordRun(device_id=row.device_id, operation_id=run, error=error, now=now)
    metadata = Metadata(tenant=row.tenant, actor=BY_SCHEDULE, causation_id=str(run))
    find = _known(row)
    before, _ = await _load(scheduling.store, find, row.tenant, row.device_id)
    await _run(scheduling.store, find, row.device_id, command, metadata)
    return before.running == run


async def _claim(
    store: EventStore[ScaleBridgeEvent], row: ScheduleRow, command: ClaimRun, metadata: Metadata
) -> ScheduleClaimed | None:
    """The run that became ours, if it did: exactly one who tries gets it."""
    find, device_id = _known(row), row.device_id
    schedule, version = await _load(store, find, row.tenant, device_id)
    events = _decided(schedule, command)
    if not events:
        return None
    try:
        await store.append(SCHEDULE.stream(device_id), events, expected=version, metadata=metadata)
    except VersionConflict:
        return None
    for skipped in (event for event in events if isinstance(event, ScheduleSkipped)):
        log.warning("runs skipped", device=str(device_id), runs=skipped.runs, reason=skipped.reason)
    return next((event for event in events if isinstance(event, ScheduleClaimed)), None)


async def _run(
    store: EventStore[ScaleBridgeEvent],
    find: Find,
    device_id: DeviceId,
    command: ScheduleCommand,
    metadata: Metadata,
) -> Schedule:
    for _ in range(ATTEMPTS):
        schedule, version = await _load(store, find, metadata.tenant, device_id)
        events = _decided(schedule, command)
        if not events:
            return schedule
        try:
            await store.append(
                SCHEDULE.stream(device_id), events, expected=version, metadata=metadata
            )
        except VersionConflict:
            continue
        return reduce(SCHEDULE.evolve, events, schedule)
    raise Unavailable("schedule")


def _decided(schedule: Schedule, command: ScheduleCommand) -> list[ScaleBridgeEvent]:
    """What is decided, by the clock of the calendar there is. Raises UnknownZone as well."""
    calendar = schedule.calendar
    match command:
        case ClaimRun() | SetSchedule(over=False) if calendar is not None:
            command = replace(command, zone=zones.zone(calendar.zone))
    return SCHEDULE.decide(schedule, command)


async def _load(
    store: EventStore[ScaleBridgeEvent], find: Find, tenant: str, device_id: DeviceId
) -> tuple[Schedule, int]:
    """The schedule as the log has it, and its version: what the read model lacks is read on."""
    known = await find()
    schedule, version = (known.schedule, known.version) if known else (Schedule(), 0)
    later = await store.log.read(tenant, SCHEDULE.stream(device_id), after=version)
    events = [store.decode(recorded) for recorded in later]
    version = (later[-1].version or version) if later else version
    return reduce(SCHEDULE.evolve, events, schedule), version


def _finder(reading: Pool, tenant: str, device_id: DeviceId) -> Find:
    async def find() -> ScheduleRow | None:
        async with tenant_transaction(reading, tenant) as connection:
            return await schedules.find(connection, tenant, device_id)

    return find


def _finder_in_all(pool: Pool, tenant: str, device_id: DeviceId) -> Find:
    """`pool` is in system scope."""

    async def find() -> ScheduleRow | None:
        async with acquire(pool) as connection:
            return await schedules.find(connection, tenant, device_id)

    return find


def _known(row: ScheduleRow) -> Find:
    async def find() -> ScheduleRow | None:
        return row

    return find


def _ordered(row: ScheduleRow, run: OperationId) -> OperationRequest:
    return OperationRequest(
        tenant=row.tenant,
        device_id=row.device_id,
        operation_id=run,
        kind=Kind.REFRESH,
        asked_by=BY_SCHEDULE,
    )
