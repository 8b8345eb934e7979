"""A schedule as its events leave it."""

from dataclasses import dataclass, replace
from datetime import datetime

from contracts.scale_bridge import (
    OperationId,
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How it stands. Without an interval it was never set; `running` is the run under way.

    `slot` is the last time of a calendar that had its run.
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
        """Whether a run may begin."""
        due = self.next_run_at
        return self.enabled and self.running is None and due is not None and due <= now


def evolve(schedule: Schedule, event: ScaleBridgeEvent) -> Schedule:
    """The schedule after it; events of other aggregates change nothing."""
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
