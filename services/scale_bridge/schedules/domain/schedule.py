"""A schedule: when a scale refreshes its dates by itself, by interval or calendar (R10, SCL-5).

A run that is due is claimed by one worker; while it is under way no other begins. What
was missed is made up for by one run, or skipped if a calendar says so. After a whole interval was
missed the next run comes an interval after the one that made up for it; otherwise it keeps the beat
of those before. What comes late begins a little later still, each scale by a share of its own:
those that could not be served do not all begin at once. A schedule knows nothing of others: whoever
changes one disturbs none.
"""

from datetime import datetime, timedelta, tzinfo
from itertools import count, islice
from typing import Final, assert_never
from uuid import uuid5

from contracts.scale_bridge import (
    DeviceId,
    OperationId,
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)
from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from services.scale_bridge.schedules.domain.calendar import SKIP, missed, next_run, runs
from services.scale_bridge.schedules.domain.commands import (
    ClaimRun,
    RecordRun,
    ScheduleCommand,
    SetCalendar,
    SetSchedule,
)
from services.scale_bridge.schedules.domain.history import Schedule, evolve

FEWEST_MINUTES: Final = 1
MOST_MINUTES: Final = 525_600
OK: Final = "OK"
ERROR: Final = "ERROR"
LATE: Final = "late"
LATE_BY: Final = timedelta(minutes=2)
"""A run that begins so long after it was due was missed: no worker was there to claim it."""
SPREAD: Final = timedelta(minutes=1)
"""Over how long runs that were missed are spread, and not over more than half an interval."""


class BadInterval(Refused):
    """The interval must be from 1 to 525600 minutes."""


class SchedulingOff(Refused):
    """Auto-update is switched off on this server."""


def decide(schedule: Schedule, command: ScheduleCommand) -> list[ScaleBridgeEvent]:
    """Raises BadInterval, SchedulingOff."""
    match command:
        case SetSchedule():
            return _set(schedule, command)
        case SetCalendar():
            interval = schedule.interval_minutes or command.interval_minutes
            return _timed(schedule, command, interval, command.calendar)
        case ClaimRun():
            return _claimed(schedule, command)
        case RecordRun(operation_id=ended) if schedule.running == ended:
            return [
                ScheduleRan(
                    device_id=command.device_id,
                    operation_id=ended,
                    status=OK if command.error is None else ERROR,
                    error=command.error,
                    ran_at=command.now,
                    details=command.details,
                )
            ]
        case RecordRun():
            return []
    assert_never(command)


def run_id(device_id: DeviceId, due: datetime) -> OperationId:
    """The operation that is the run due then: every claimer computes the same one."""
    return OperationId(uuid5(device_id, f"run {due.isoformat()}"))


def following(due: datetime, interval_minutes: int, now: datetime) -> datetime:
    """When the run after the one due at `due` is due, with all that were missed left out."""
    interval = timedelta(minutes=interval_minutes)
    return due + interval * (max((now - due) // interval, 0) + 1)


def late_start(device_id: DeviceId, due: datetime, now: datetime, *, within: timedelta) -> datetime:
    """When a run that was due then begins: now, or if it is late, within some time from now.

    It is the same for a scale in every process, and spread evenly over scales.
    """
    if now - due < LATE_BY:
        return now
    return now + within * (uuid5(device_id, f"late {due.isoformat()}").int / 2**128)


def upcoming(
    schedule: Schedule, device_id: DeviceId, zone: tzinfo, now: datetime, number: int
) -> list[datetime]:
    """When the next runs are due, if nothing changes; none while it is switched off.

    `zone` is the one of the calendar, if there is one.
    """
    due, interval = schedule.next_run_at, schedule.interval_minutes
    if not schedule.enabled or due is None or interval is None:
        return []
    if schedule.calendar is not None:
        later = runs(schedule.calendar, zone, device_id, since=max(due, now))
        return [due, *(run.at for run in islice(later, number - 1))]
    first = following(due, interval, now)
    beats = (first + timedelta(minutes=interval * beat) for beat in count())
    return [due, *islice(beats, number - 1)]


def _set(schedule: Schedule, command: SetSchedule) -> list[ScaleBridgeEvent]:
    if not FEWEST_MINUTES <= command.interval_minutes <= MOST_MINUTES:
        raise BadInterval
    stays = command.interval_minutes == schedule.interval_minutes and not command.over
    calendar = schedule.calendar if stays else None
    return _timed(schedule, command, command.interval_minutes, calendar)


def _timed(
    schedule: Schedule,
    command: SetSchedule | SetCalendar,
    interval: int,
    calendar: ScheduleCalendar | None,
) -> list[ScaleBridgeEvent]:
    if command.enabled and not command.may_run:
        raise SchedulingOff
    wanted = (command.enabled, interval, calendar)
    if wanted == (schedule.enabled, schedule.interval_minutes, schedule.calendar):
        return []
    first = command.now + timedelta(minutes=interval)
    if calendar is not None:
        zone, device_id = _known(command.zone), command.device_id
        first = next_run(calendar, zone, device_id, now=command.now, done=schedule.slot)
    return [
        ScheduleSet(
            device_id=command.device_id,
            enabled=command.enabled,
            interval_minutes=interval,
            next_run_at=first if command.enabled else None,
            set_by=command.set_by,
            set_at=command.now,
            calendar=calendar,
        )
    ]


def _claimed(schedule: Schedule, command: ClaimRun) -> list[ScaleBridgeEvent]:
    due, interval = schedule.next_run_at, schedule.interval_minutes
    if not schedule.is_due(command.now) or due is None or interval is None:
        return []
    if schedule.calendar is not None:
        return _by_calendar(command, schedule.calendar, due)
    half = timedelta(minutes=interval) / 2
    begins = late_start(command.device_id, due, command.now, within=min(SPREAD, half))
    next_run = following(due, interval, command.now)
    if command.now >= due + timedelta(minutes=interval):
        next_run = begins + timedelta(minutes=interval)
    return [_claim(command, due, next_run, begins)]


def _by_calendar(
    command: ClaimRun, calendar: ScheduleCalendar, due: datetime
) -> list[ScaleBridgeEvent]:
    zone, device_id, now = _known(command.zone), command.device_id, command.now
    begun = missed(calendar, zone, device_id, due=due, now=now)
    grace = timedelta(minutes=calendar.grace_minutes)
    late = [run for run in begun if calendar.missed == SKIP and now - run.at > grace]
    left = begun[len(late) :]
    afterwards = next_run(calendar, zone, device_id, now=now, done=begun[-1].slot)
    events: list[ScaleBridgeEvent] = []
    if late:
        skipped = ScheduleSkipped(
            device_id=device_id,
            due_at=due,
            late_seconds=(now - due).total_seconds(),
            runs=len(late),
            reason=LATE,
            next_run_at=left[0].at if left else afterwards,
            skipped_at=now,
        )
        events.append(skipped)
    if left:
        spread = max(SPREAD, timedelta(minutes=calendar.jitter_minutes))
        within = min(spread, (afterwards - now) / 2)
        begins = late_start(device_id, left[0].at, now, within=within)
        events.append(_claim(command, left[0].at, afterwards, begins, slot=left[-1].slot))
    return events


def _claim(
    command: ClaimRun,
    due: datetime,
    next_run_at: datetime,
    begins: datetime,
    *,
    slot: datetime | None = None,
) -> ScheduleClaimed:
    return ScheduleClaimed(
        device_id=command.device_id,
        operation_id=run_id(command.device_id, due),
        next_run_at=next_run_at,
        claimed_at=command.now,
        slot=slot,
        begins_at=begins if begins > command.now else None,
    )


def _known(zone: tzinfo | None) -> tzinfo:
    if zone is None:
        raise ValueError("a calendar needs its zone")
    return zone


SCHEDULE: Final = Decider(category="schedule", initial=Schedule(), decide=decide, evolve=evolve)
