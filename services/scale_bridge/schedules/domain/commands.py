"""What may be asked of a schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, TypeAlias

from contracts.scale_bridge import DeviceId, OperationId, ScheduleCalendar


@dataclass(frozen=True, kw_only=True, slots=True)
class SetSchedule:
    """Switch it on or off, or time it anew. `may_run` is false where schedules are switched off
    for everybody.

    An interval that is as it was leaves a calendar in force, unless that is to be `over`. `zone` is
    the one of the calendar there is.
    """

    device_id: DeviceId
    enabled: bool
    interval_minutes: int
    set_by: str
    now: datetime
    may_run: bool = True
    over: bool = False
    zone: tzinfo | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCalendar:
    """Time it by a calendar, whose zone is `zone`. `interval_minutes` is told if there was none."""

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
    """Do what is due, if anything is. `zone` is the one of the calendar, if there is one."""

    device_id: DeviceId
    now: datetime
    zone: tzinfo | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRun:
    """Say what became of a run; `error` is None if it went well."""

    device_id: DeviceId
    operation_id: OperationId
    error: str | None
    now: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


ScheduleCommand: TypeAlias = SetSchedule | SetCalendar | ClaimRun | RecordRun
