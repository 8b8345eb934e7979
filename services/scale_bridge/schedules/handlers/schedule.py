"""Commands of schedules: set one, claim the runs that are due, record the runs that ended.

Several workers may see the same run due: the log lets one of them claim it (R10). A claim names the
operation before it is queued, so a worker that dies after it loses nothing: another one queues it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final
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
from libs.postgres.doorbell import PROJECTED
from libs.postgres.pool import acquire, tenant_transaction
from libs.process.periodic import Periodic
from services.scale_bridge.context import Context
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.schedules import adapters as zones
from services.scale_bridge.schedules.adapters import UnknownZone
from services.scale_bridge.schedules.domain.schedule import (
    SCHEDULE,
    ClaimRun,
    RecordRun,
    Schedule,
    ScheduleCommand,
    SetCalendar,
    SetSchedule,
)
from services.scale_bridge.schedules.read_models import schedule as schedules
from services.scale_bridge.schedules.read_models.schedule import ScheduleRow
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED, Kind

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 20
AT_ONCE: Final = 200
"""How many schedules one call deals with."""
CLAIM_EXPIRES: Final = timedelta(seconds=10)
"""A claim without an operation after so long is one of a dead worker."""
RESTING_SECONDS: Final = 5.0
"""How often schedules are read while no event is projected."""
BY_SCHEDULE: Final = "schedule"


def job(context: Context) -> Periodic:
    """The job of workers that begins runs and records those that have ended."""
    settings = context.settings

    async def run() -> float | None:
        if settings.scheduler_on:
            await run_due(context, context.clock())
        await record_ended(context, context.clock())
        return await seconds_until_due(context, context.clock())

    return Periodic("schedules", run, settings.round_seconds, PROJECTED, RESTING_SECONDS)


async def put(context: Context, command: SetSchedule | SetCalendar, metadata: Metadata) -> Schedule:
    """Set a schedule; the schedule afterwards. Safe to repeat.

    Raises BadInterval, SchedulingOff, UnknownZone, LogUnavailable, Unavailable.
    """
    return await _run(context, command.device_id, command, metadata)


async def set_default(context: Context, device_id: DeviceId, metadata: Metadata) -> None:
    """Give a new device the installation's interval, if there is one. Safe to repeat."""
    if context.settings.default_interval is None:
        return
    command = SetSchedule(
        device_id=device_id,
        enabled=True,
        interval_minutes=context.settings.default_interval,
        set_by=metadata.actor or BY_SCHEDULE,
        now=context.clock(),
    )
    await _run(context, device_id, command, metadata)


async def get(context: Context, tenant: str, device_id: DeviceId) -> Schedule:
    """The schedule as the log has it; a disabled one if it was never set."""
    return (await _load(context, tenant, device_id))[0]


async def zone(context: Context, tenant: str, device_id: DeviceId) -> ZoneInfo | None:
    """The zone of a scale's calendar, also of one that is switched off; None without a calendar.

    None too if the system no longer knows the zone. Raises Unavailable, LogUnavailable.
    """
    calendar = (await get(context, tenant, device_id)).calendar
    try:
        return None if calendar is None else zones.zone(calendar.zone)
    except UnknownZone:
        log.warning("zone not known", device=str(device_id))
        return None


async def run_due(context: Context, now: datetime) -> int:
    """Claim runs that are due and queue their operations; how many this call claimed.

    A run that fails does not stop the others.
    """
    async with acquire(context.system) as connection:
        rows = await schedules.due(connection, now, limit=AT_ONCE)
    claimed = 0
    for row in rows:
        metadata = Metadata(tenant=row.tenant, actor=BY_SCHEDULE)
        command = ClaimRun(device_id=row.device_id, now=now)
        try:
            claim = await _claim(context, row, command, metadata)
            if claim is not None:
                begins = claim.begins_at or now
                after = max(0.0, (begins - now).total_seconds())
                request = _request(row, claim.operation_id)
                await operation.enqueue(context, replace(request, after_seconds=after))
                claimed += 1
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("run not begun", device=str(row.device_id), error=repr(error))
    return claimed


async def seconds_until_due(context: Context, now: datetime) -> float | None:
    """Seconds until the next run is due, below 0 if one is due now; None without schedules."""
    async with acquire(context.system) as connection:
        return await schedules.seconds_to_next(connection, now)


async def record_ended(context: Context, now: datetime) -> int:
    """Record runs that have ended, and queue runs whose worker died after the claim.

    Returns how many were recorded.
    """
    async with acquire(context.system) as connection:
        rows = await schedules.running(connection, limit=AT_ONCE)
    recorded = 0
    for row in rows:
        try:
            recorded += await _record_run(context, row, now)
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("run not recorded", device=str(row.device_id), error=repr(error))
    return recorded


async def _record_run(context: Context, row: ScheduleRow, now: datetime) -> bool:
    store, run, since = context.store, row.schedule.running, row.schedule.claimed_at
    if run is None or since is None:
        return False
    history = await store.read(row.tenant, f"operation-{run}")
    ended = next((event for event in history.events if isinstance(event, OperationEnded)), None)
    if ended is not None:
        error = None if ended.outcome in SUCCEEDED else ended.detail
        return await _record(context, row, run, error, now)
    if not history.events and now - since >= CLAIM_EXPIRES:
        try:
            await operation.enqueue(context, _request(row, run))
        except NotFound as error:
            return await _record(context, row, run, str(error), now)
    return False


async def _record(
    context: Context,
    row: ScheduleRow,
    run: OperationId,
    error: str | None,
    now: datetime,
) -> bool:
    command = RecordRun(device_id=row.device_id, operation_id=run, error=error, now=now)
    metadata = Metadata(tenant=row.tenant, actor=BY_SCHEDULE, causation_id=str(run))
    before, _ = await _load(context, row.tenant, row.device_id, row)
    await _run(context, row.device_id, command, metadata, row)
    return before.running == run


async def _claim(
    context: Context, row: ScheduleRow, command: ClaimRun, metadata: Metadata
) -> ScheduleClaimed | None:
    """Claim a run; None if it is not due or another worker has claimed it."""
    device_id = row.device_id
    schedule, version = await _load(context, row.tenant, device_id, row)
    events = _decide(schedule, command)
    if not events:
        return None
    try:
        await context.store.append(
            SCHEDULE.stream(device_id), events, expected=version, metadata=metadata
        )
    except VersionConflict:
        return None
    for skipped in (event for event in events if isinstance(event, ScheduleSkipped)):
        log.warning("runs skipped", device=str(device_id), runs=skipped.runs, reason=skipped.reason)
    return next((event for event in events if isinstance(event, ScheduleClaimed)), None)


async def _run(
    context: Context,
    device_id: DeviceId,
    command: ScheduleCommand,
    metadata: Metadata,
    row: ScheduleRow | None = None,
) -> Schedule:
    for _ in range(ATTEMPTS):
        schedule, version = await _load(context, metadata.tenant, device_id, row)
        events = _decide(schedule, command)
        if not events:
            return schedule
        try:
            await context.store.append(
                SCHEDULE.stream(device_id), events, expected=version, metadata=metadata
            )
        except VersionConflict:
            continue
        return reduce(SCHEDULE.evolve, events, schedule)
    raise Unavailable("schedule")


def _decide(schedule: Schedule, command: ScheduleCommand) -> list[ScaleBridgeEvent]:
    """Decide with the zone of the present calendar. Raises what `decide` raises, UnknownZone."""
    calendar = schedule.calendar
    match command:
        case ClaimRun() | SetSchedule(ends_calendar=False) if calendar is not None:
            command = replace(command, zone=zones.zone(calendar.zone))
    return SCHEDULE.decide(schedule, command)


async def _load(
    context: Context, tenant: str, device_id: DeviceId, row: ScheduleRow | None = None
) -> tuple[Schedule, int]:
    """The schedule and its version: the row of the read model, and the later events of the log."""
    if row is None:
        async with tenant_transaction(context.system, tenant) as connection:
            row = await schedules.find(connection, tenant, device_id)
    schedule, version = (row.schedule, row.version) if row else (Schedule(), 0)
    later = await context.store.log.read(tenant, SCHEDULE.stream(device_id), after=version)
    events = [context.store.decode(recorded) for recorded in later]
    version = (later[-1].version or version) if later else version
    return reduce(SCHEDULE.evolve, events, schedule), version


def _request(row: ScheduleRow, run: OperationId) -> OperationRequest:
    return OperationRequest(
        tenant=row.tenant,
        device_id=row.device_id,
        operation_id=run,
        kind=Kind.REFRESH,
        asked_by=BY_SCHEDULE,
    )
