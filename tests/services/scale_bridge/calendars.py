"""A schedule by calendar in June 2026: commands and their events."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.scale_bridge import (
    DeviceId,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)
from services.scale_bridge.schedules.domain.calendar import calendar
from services.scale_bridge.schedules.domain.schedule import (
    SPREAD,
    ClaimRun,
    SetCalendar,
    SetSchedule,
    late_start,
    run_id,
)
from tests.services.scale_bridge.usual import Usual

BERLIN = ZoneInfo("Europe/Berlin")
TOKYO = ZoneInfo("Asia/Tokyo")
DEVICE = DeviceId(UUID(int=7))
MINUTE = timedelta(minutes=1)
DAILY = calendar(["08:00", "20:00"], zone="Europe/Berlin")
STRICT = calendar(["08:00", "20:00"], zone="Europe/Berlin", missed="skip", grace_minutes=15)
ZONES = {"Europe/Berlin": BERLIN, "Asia/Tokyo": TOKYO}


def clock(written: str) -> datetime:
    """A moment of June 2026 by Berlin's clocks: `1 08:00`."""
    day, at = written.split()
    return datetime.fromisoformat(f"2026-06-{int(day):02}T{at}:00+02:00").astimezone(UTC)


def made_at(now: str) -> Usual:
    """Makes events and commands of a moment."""
    return Usual(clock(now), device_id=DEVICE, enabled=True, interval_minutes=1440, reason="late")


def by(its: Any = DAILY, *, now: str = "1 06:00", **different: Any) -> SetCalendar:
    return made_at(now)(SetCalendar, calendar=its, zone=ZONES[its.zone], **different)


def every(interval: int, *, now: str = "1 07:00", **different: Any) -> SetSchedule:
    return made_at(now)(SetSchedule, interval_minutes=interval, zone=BERLIN, **different)


def was_set(its: Any = DAILY, due: str | None = "1 08:00", now: str = "1 06:00") -> ScheduleSet:
    due_at = None if due is None else clock(due)
    enabled = due is not None
    return made_at(now)(ScheduleSet, enabled=enabled, next_run_at=due_at, calendar=its)


def claimed(due: str, *, now: str, following: str, slot: str | None = None) -> ScheduleClaimed:
    run: dict[str, Any] = {"operation_id": run_id(DEVICE, clock(due)), "slot": clock(slot or due)}
    within = min(SPREAD, (clock(following) - clock(now)) / 2)
    begins = late_start(DEVICE, clock(due), clock(now), within=within)
    run["begins_at"] = begins if begins > clock(now) else None
    return made_at(now)(ScheduleClaimed, next_run_at=clock(following), **run)


def ran(due: str, now: str) -> ScheduleRan:
    run: dict[str, Any] = {"operation_id": run_id(DEVICE, clock(due)), "status": "OK"}
    return made_at(now)(ScheduleRan, error=None, **run)


def skipped(due: str, *, now: str, runs: int, following: str) -> ScheduleSkipped:
    late = (clock(now) - clock(due)).total_seconds()
    run: dict[str, Any] = {"due_at": clock(due), "late_seconds": late, "runs": runs}
    return made_at(now)(ScheduleSkipped, next_run_at=clock(following), **run)


def claim(now: str, zone: ZoneInfo = BERLIN) -> ClaimRun:
    return made_at(now)(ClaimRun, zone=zone)
