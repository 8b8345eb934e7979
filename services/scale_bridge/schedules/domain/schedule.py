"""A schedule: when the dates of a scale are refreshed, by interval or by calendar (R10, SCL-5).

One worker claims a run that is due; no other run of the scale begins until it has ended. Missed
runs are made up for by one run, or skipped if the calendar says so. If a whole interval was missed,
the next run is due an interval after the late one; otherwise the rhythm stays. Late runs are spread
over some time, so that not all scales begin at once.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import count, islice
from typing import Final, TypeAlias, assert_never
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
from libs.calendar import missed, next_run, runs
from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from services.scale_bridge.schedules.domain.calendar import SKIP

FEWEST_MINUTES: Final = 1
MOST_MINUTES: Final = 525_600
OK: Final = "OK"
ERROR: Final = "ERROR"
LATE: Final = "late"
LATE_BY: Final = timedelta(minutes=2)
"""A run that begins so long after it was due counts as missed."""
SPREAD: Final = timedelta(minutes=1)
"""The time over which missed runs are spread; never more than half an interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The state of a schedule. Without an interval it was never set.

    `running` is the operation of the current run, `slot` the last time of the calendar that had
    its run.
    """

    enabled: bool = False
    interval_minutes: int | None = None
    next_run_at: datetime | None = None
    running: OperationId | None = None
    claimed_at: datetime | None = None
    last_run_at: datetime | None = None
    last_status: str | None = None
    last_error: str | None = None
    calendar: ScheduleCalendar | None = None
    slot: datetime | None = None
    skipped_at: datetime | None = None
    skipped_due_at: datetime | None = None
    skipped_runs: int | None = None
    skipped_reason: str | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether a run is due, and none is running."""
        due = self.next_run_at
        return self.enabled and self.running is None and due is not None and due <= now


@dataclass(frozen=True, kw_only=True, slots=True)
class SetSchedule:
    """Switch a schedule on or off, or set its interval.

    `may_run` is false where schedules are off for the whole installation. An unchanged interval
    keeps the present calendar unless `ends_calendar`. `zone` is the zone of the present calendar.
    """

    device_id: DeviceId
    enabled: bool
    interval_minutes: int
    set_by: str
    now: datetime
    may_run: bool = True
    ends_calendar: bool = False
    zone: tzinfo | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCalendar:
    """Set a calendar, whose zone is `zone`. `interval_minutes` is stored if none was set before."""

    device_id: DeviceId
    enabled: bool
    calendar: ScheduleCalendar
    zone: tzinfo
    interval_minutes: int
    set_by: str
    now: datetime
    may_run: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRun:
    """Claim the run that is due, if there is one. `zone` is the zone of the calendar."""

    device_id: DeviceId
    now: datetime
    zone: tzinfo | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRun:
    """Record the end of a run; `error` is None if it succeeded."""

    device_id: DeviceId
    operation_id: OperationId
    error: str | None
    now: datetime


ScheduleCommand: TypeAlias = SetSchedule | SetCalendar | ClaimRun | RecordRun


class BadInterval(Refused):
    """The interval must be from 1 to 525600 minutes."""


class SchedulingOff(Refused):
    """Auto-update is switched off on this server."""


def decide(schedule: Schedule, command: ScheduleCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`. Raises BadInterval, SchedulingOff."""
    match command:
        case SetSchedule():
            return _set(schedule, command)
        case SetCalendar():
            interval = schedule.interval_minutes or command.interval_minutes
            return _timed(schedule, command, interval, command.calendar)
        case ClaimRun():
            return _claimed(schedule, command)
        case RecordRun(operation_id=operation_id) if schedule.running == operation_id:
            return [
                ScheduleRan(
                    device_id=command.device_id,
                    operation_id=operation_id,
                    status=OK if command.error is None else ERROR,
                    error=command.error,
                    ran_at=command.now,
                )
            ]
        case RecordRun():
            return []
    assert_never(command)


def evolve(schedule: Schedule, event: ScaleBridgeEvent) -> Schedule:
    """See `Decider`. Events of other aggregates change nothing."""
    match event:
        case ScheduleSet():
            return replace(
                schedule,
                enabled=event.enabled,
                interval_minutes=event.interval_minutes,
                next_run_at=event.next_run_at,
                calendar=event.calendar,
            )
        case ScheduleClaimed():
            return replace(
                schedule,
                running=event.operation_id,
                claimed_at=event.claimed_at,
                next_run_at=event.next_run_at,
                slot=event.slot or schedule.slot,
            )
        case ScheduleSkipped():
            return replace(
                schedule,
                next_run_at=event.next_run_at,
                skipped_at=event.skipped_at,
                skipped_due_at=event.due_at,
                skipped_runs=event.runs,
                skipped_reason=event.reason,
            )
        case ScheduleRan():
            return replace(
                schedule,
                running=None,
                claimed_at=None,
                last_run_at=event.ran_at,
                last_status=event.status,
                last_error=event.error,
            )
        case _:
            return schedule


def run_id(device_id: DeviceId, due: datetime) -> OperationId:
    """The operation of the run that is due at `due`: every worker computes the same id."""
    return OperationId(uuid5(device_id, f"run {due.isoformat()}"))


def following(due: datetime, interval_minutes: int, now: datetime) -> datetime:
    """When the run after the one due at `due` is due; missed runs are left out."""
    interval = timedelta(minutes=interval_minutes)
    return due + interval * (max((now - due) // interval, 0) + 1)


def late_start(device_id: DeviceId, due: datetime, now: datetime, *, within: timedelta) -> datetime:
    """When a run that was due at `due` begins: now, or if it is late, some time `within` from now.

    Every process computes the same time for a scale; scales are spread evenly.
    """
    if now - due < LATE_BY:
        return now
    return now + within * (uuid5(device_id, f"late {due.isoformat()}").int / 2**128)


def upcoming(
    schedule: Schedule, device_id: DeviceId, zone: tzinfo, now: datetime, number: int
) -> list[datetime]:
    """When the next runs are due; empty while the schedule is off. `zone` is the calendar's."""
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
    stays = command.interval_minutes == schedule.interval_minutes and not command.ends_calendar
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
    desired = (command.enabled, interval, calendar)
    if desired == (schedule.enabled, schedule.interval_minutes, schedule.calendar):
        return []
    first = command.now + timedelta(minutes=interval)
    if calendar is not None:
        zone, device_id = _required(command.zone), command.device_id
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
    zone, device_id, now = _required(command.zone), command.device_id, command.now
    missed_runs = missed(calendar, zone, device_id, due=due, now=now)
    grace = timedelta(minutes=calendar.grace_minutes)
    late = [run for run in missed_runs if calendar.missed == SKIP and now - run.at > grace]
    left = missed_runs[len(late) :]
    afterwards = next_run(calendar, zone, device_id, now=now, done=missed_runs[-1].slot)
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


def _required(zone: tzinfo | None) -> tzinfo:
    if zone is None:
        raise ValueError("a calendar needs its zone")
    return zone


SCHEDULE: Final = Decider(category="schedule", initial=Schedule(), decide=decide, evolve=evolve)
