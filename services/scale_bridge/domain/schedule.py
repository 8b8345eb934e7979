"""A schedule: when a scale refreshes its dates by itself (R10).

A run that is due is claimed, and then nobody else's; while it is under way no other begins. What
was missed is made up for by one run, and the next keeps the beat of those before. A schedule knows
nothing of others: whoever changes one disturbs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, assert_never
from uuid import uuid5

from contracts.scale_bridge import (
    DeviceId,
    OperationId,
    ScaleBridgeEvent,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
)
from libs.errors import Refused
from libs.eventsourcing.decider import Decider

FEWEST_MINUTES: Final = 1
MOST_MINUTES: Final = 525_600
OK: Final = "OK"
ERROR: Final = "ERROR"


@dataclass(frozen=True, kw_only=True, slots=True)
class SetSchedule:
    """Switch it on or off, or time it anew. `may_run` is false where schedules are switched off
    for everybody."""

    device_id: DeviceId
    enabled: bool
    interval_minutes: int
    set_by: str
    now: datetime
    may_run: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRun:
    """Do what is due, if anything is."""

    device_id: DeviceId
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRun:
    """Say what became of a run; `error` is None if it went well."""

    device_id: DeviceId
    operation_id: OperationId
    error: str | None
    now: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


ScheduleCommand: TypeAlias = SetSchedule | ClaimRun | RecordRun


class BadInterval(Refused):
    """The interval must be from 1 to 525600 minutes."""


class SchedulingOff(Refused):
    """Auto-update is switched off on this server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How it stands. Without an interval it was never set; `running` is the run under way."""

    enabled: bool = False
    interval_minutes: int | None = None
    next_run_at: datetime | None = None
    running: OperationId | None = None
    claimed_at: datetime | None = None
    last_run_at: datetime | None = None
    last_status: str | None = None
    last_error: str | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether a run may begin."""
        due = self.next_run_at
        return self.enabled and self.running is None and due is not None and due <= now


def decide(schedule: Schedule, command: ScheduleCommand) -> list[ScaleBridgeEvent]:
    """Raises BadInterval, SchedulingOff."""
    match command:
        case SetSchedule():
            return _set(schedule, command)
        case ClaimRun(device_id=device_id, now=now):
            return _claimed(schedule, device_id, now)
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


def evolve(schedule: Schedule, event: ScaleBridgeEvent) -> Schedule:
    """The schedule after it; events of other aggregates change nothing."""
    match event:
        case ScheduleSet():
            return replace(
                schedule,
                enabled=event.enabled,
                interval_minutes=event.interval_minutes,
                next_run_at=event.next_run_at,
            )
        case ScheduleClaimed():
            return replace(
                schedule,
                running=event.operation_id,
                claimed_at=event.claimed_at,
                next_run_at=event.next_run_at,
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
    """The operation that is the run due then: whoever claims it means the same one."""
    return OperationId(uuid5(device_id, f"run {due.isoformat()}"))


def following(due: datetime, interval_minutes: int, now: datetime) -> datetime:
    """When the run after the one due at `due` is due, with all that were missed left out."""
    interval = timedelta(minutes=interval_minutes)
    return due + interval * (max((now - due) // interval, 0) + 1)


def _set(schedule: Schedule, command: SetSchedule) -> list[ScaleBridgeEvent]:
    if not FEWEST_MINUTES <= command.interval_minutes <= MOST_MINUTES:
        raise BadInterval
    if command.enabled and not command.may_run:
        raise SchedulingOff
    wanted = (command.enabled, command.interval_minutes)
    if wanted == (schedule.enabled, schedule.interval_minutes):
        return []
    first = command.now + timedelta(minutes=command.interval_minutes)
    return [
        ScheduleSet(
            device_id=command.device_id,
            enabled=command.enabled,
            interval_minutes=command.interval_minutes,
            next_run_at=first if command.enabled else None,
            set_by=command.set_by,
            set_at=command.now,
        )
    ]


def _claimed(schedule: Schedule, device_id: DeviceId, now: datetime) -> list[ScaleBridgeEvent]:
    due, interval = schedule.next_run_at, schedule.interval_minutes
    if not schedule.is_due(now) or due is None or interval is None:
        return []
    return [
        ScheduleClaimed(
            device_id=device_id,
            operation_id=run_id(device_id, due),
            next_run_at=following(due, interval, now),
            claimed_at=now,
        )
    ]


SCHEDULE: Final = Decider(category="schedule", initial=Schedule(), decide=decide, evolve=evolve)
