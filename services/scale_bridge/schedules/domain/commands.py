"""The commands of a schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, TypeAlias

from contracts.scale_bridge import DeviceId, OperationId, ScheduleCalendar


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
    details: Mapping[str, Any] = field(default_factory=dict)


ScheduleCommand: TypeAlias = SetSchedule | SetCalendar | ClaimRun | RecordRun
