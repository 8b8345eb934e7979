"""Events about the auto-update of a scale."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from contracts.scale_bridge.devices import DeviceId
from contracts.scale_bridge.operations import OperationId

SCHEDULES: Final = "scale-bridge.schedule"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleCalendar:
    """Times of day (`HH:MM`, ascending) on `weekdays` (`mon` to `sun`) in the time zone `zone`.

    Each run starts up to `jitter_minutes` later. `missed` is `run` (one run for all missed ones) or
    `skip` (runs that are more than `grace_minutes` late are skipped).
    """

    at: tuple[str, ...]
    weekdays: tuple[str, ...]
    zone: str
    jitter_minutes: int
    missed: str
    grace_minutes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSet:
    """The auto-update of a scale was configured; `next_run_at` is None while it is disabled.

    With a `calendar`, `interval_minutes` is the former interval and has no effect.
    """

    device_id: DeviceId
    enabled: bool
    interval_minutes: int
    next_run_at: datetime | None
    set_by: str
    set_at: datetime
    calendar: ScheduleCalendar | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleClaimed:
    """A due run was claimed and is done by this operation; the next is due at `next_run_at`.

    `slot` is the calendar time of the run, the last one if it makes up for several. A late run
    starts at `begins_at`, a little after the claim, so that missed runs do not all start at once.
    None if it starts at the claim.
    """

    device_id: DeviceId
    operation_id: OperationId
    next_run_at: datetime
    claimed_at: datetime
    slot: datetime | None = None
    begins_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSkipped:
    """Several `runs` were skipped, the first due at `due_at`; the next is due at `next_run_at`.

    `late_seconds` is how late the first one was; `reason` is a code: `late`.
    """

    device_id: DeviceId
    due_at: datetime
    late_seconds: float
    runs: int
    reason: str
    next_run_at: datetime
    skipped_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRan:
    """A run ended. `status` is OK or ERROR, `error` is the device's text."""

    device_id: DeviceId
    operation_id: OperationId
    status: str
    error: str | None
    ran_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)
