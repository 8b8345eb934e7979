"""A scale with a calendar in June 2026, what is asked of it, and what happens to it."""

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
from services.scale_bridge.domain.calendar import calendar
from services.scale_bridge.domain.schedule import run_id
from services.scale_bridge.domain.schedule_commands import ClaimRun, SetCalendar, SetSchedule

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


def by(its: Any = DAILY, *, now: str = "1 06:00", **different: Any) -> SetCalendar:
    told = {"device_id": DEVICE, "enabled": True, "interval_minutes": 1440, "set_by": "anna"}
    zone = ZONES[its.zone]
    return SetCalendar(**{**told, "calendar": its, "zone": zone, "now": clock(now), **different})


def every(interval: int, *, now: str = "1 07:00", **different: Any) -> SetSchedule:
    told = {"device_id": DEVICE, "enabled": True, "set_by": "anna", "zone": BERLIN}
    return SetSchedule(**{**told, "interval_minutes": interval, "now": clock(now), **different})


def was_set(its: Any = DAILY, due: str | None = "1 08:00", now: str = "1 06:00") -> ScheduleSet:
    return ScheduleSet(
        device_id=DEVICE,
        enabled=due is not None,
        interval_minutes=1440,
        next_run_at=None if due is None else clock(due),
        set_by="anna",
        set_at=clock(now),
        calendar=its,
    )


def claimed(due: str, *, now: str, following: str, slot: str | None = None) -> ScheduleClaimed:
    return ScheduleClaimed(
        device_id=DEVICE,
        operation_id=run_id(DEVICE, clock(due)),
        next_run_at=clock(following),
        claimed_at=clock(now),
        slot=clock(slot or due),
    )


def ran(due: str, now: str) -> ScheduleRan:
    operation_id = run_id(DEVICE, clock(due))
    return ScheduleRan(
        device_id=DEVICE, operation_id=operation_id, status="OK", error=None, ran_at=clock(now)
    )


def skipped(due: str, *, now: str, runs: int, following: str) -> ScheduleSkipped:
    return ScheduleSkipped(
        device_id=DEVICE,
        due_at=clock(due),
        late_seconds=(clock(now) - clock(due)).total_seconds(),
        runs=runs,
        reason="late",
        next_run_at=clock(following),
        skipped_at=clock(now),
    )


def claim(now: str, zone: ZoneInfo = BERLIN) -> ClaimRun:
    return ClaimRun(device_id=DEVICE, now=clock(now), zone=zone)
