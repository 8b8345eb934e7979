"""HTTP of schedules: when a scale's dates are refreshed, by interval or by calendar (SCL-5)."""

from datetime import datetime, tzinfo
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from contracts.scale_bridge import DeviceId, ScheduleCalendar
from libs.calendar import WEEKDAYS
from libs.http.visible import visible
from services.scale_bridge.context import (
    ApiContext,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
    unfit,
)
from services.scale_bridge.schedules import adapters as zones
from services.scale_bridge.schedules.adapters import UnknownZone
from services.scale_bridge.schedules.api.auto_update import SWITCHED_OFF, utc_text
from services.scale_bridge.schedules.domain.calendar import (
    GRACE,
    MOST_GRACE,
    MOST_JITTER,
    MOST_TIMES,
    RUN,
    calendar,
)
from services.scale_bridge.schedules.domain.schedule import (
    FEWEST_MINUTES,
    MOST_MINUTES,
    Schedule,
    SetCalendar,
    SetSchedule,
    upcoming,
)
from services.scale_bridge.schedules.handlers import schedule as handler

router = APIRouter(tags=["schedule"])

UPCOMING_RUNS: Final = 5
"""How many upcoming runs an answer lists."""

Time = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Missed = Literal["run", "skip"]


class CalendarFields(BaseModel):
    """The fields of a schedule by calendar; null where it has an interval."""

    at: Annotated[list[Time], Field(min_length=1, max_length=MOST_TIMES)] | None = None
    weekdays: Annotated[list[Weekday], Field(min_length=1, max_length=7)] | None = None
    zone: Annotated[str, Field(max_length=64)] | None = None
    jitter_minutes: Annotated[int, Field(ge=0, le=MOST_JITTER)] | None = None
    missed: Missed | None = None
    grace_minutes: Annotated[int, Field(ge=0, le=MOST_GRACE)] | None = None

    def given(self) -> list[str]:
        """The names of the fields that are set."""
        return [name for name in CalendarFields.model_fields if getattr(self, name) is not None]


class ScheduleGiven(CalendarFields):
    """A whole schedule: either `every_minutes`, or `at` and the other fields of a calendar."""

    enabled: bool
    every_minutes: Annotated[int, Field(ge=FEWEST_MINUTES, le=MOST_MINUTES)] | None = None


class Moment(BaseModel):
    """An upcoming run, in the schedule's zone and in UTC."""

    local: str
    utc: str


class Skipped(BaseModel):
    """`runs` that were skipped at `at_utc`; the first was due at `due_utc`."""

    at_utc: str | None
    due_utc: str | None
    runs: int
    reason: str


class ScheduleShown(CalendarFields):
    """A schedule, its upcoming runs, and its last run."""

    enabled: bool
    every_minutes: int | None
    next_run_utc: str | None
    next_run_local: str | None
    last_run_utc: str | None
    last_status: str | None
    last_error: str | None
    last_skipped: Skipped | None
    upcoming: list[Moment]


@router.get("/devices/{device_id}/schedule")
async def get(response: Response, scales: Scales, caller: Reader, device_id: int) -> ScheduleShown:
    """The schedule of a scale; disabled if it was never set."""
    device = await own_device(scales, caller, device_id)
    schedule = await handler.get(scales, caller.tenant, device.device_id)
    return _present(response, scales, device.device_id, schedule)


@router.put("/devices/{device_id}/schedule", dependencies=[visible("schedule")])
async def put(
    response: Response,
    scales: Scales,
    caller: Writer,
    metadata: Authored,
    device_id: int,
    body: ScheduleGiven,
) -> ScheduleShown:
    """Set the whole schedule; the same again changes nothing. 409 if schedules are off here."""
    device = await own_device(scales, caller, device_id)
    command = _command(scales, caller.subject, device.device_id, body)
    schedule = await handler.put(scales, command, metadata)
    return _present(response, scales, device.device_id, schedule)


def _command(
    scales: ApiContext, subject: str, device_id: DeviceId, body: ScheduleGiven
) -> SetSchedule | SetCalendar:
    """The command for a schedule. Raises HTTPException unless it is an interval or a calendar."""
    if body.every_minutes is None:
        new_calendar, zone = _calendar(scales, body)
        return SetCalendar(
            device_id=device_id,
            enabled=body.enabled,
            calendar=new_calendar,
            zone=zone,
            interval_minutes=scales.settings.scheduler_interval,
            set_by=subject,
            now=scales.clock(),
            may_run=scales.settings.scheduler_on,
        )
    if given := body.given():
        raise unfit(*(((name,), "cannot be given together with every_minutes") for name in given))
    return SetSchedule(
        device_id=device_id,
        enabled=body.enabled,
        interval_minutes=body.every_minutes,
        set_by=subject,
        now=scales.clock(),
        may_run=scales.settings.scheduler_on,
        ends_calendar=True,
    )


def _calendar(scales: ApiContext, body: ScheduleGiven) -> tuple[ScheduleCalendar, tzinfo]:
    if body.at is None:
        raise unfit((("at",), "times of day are needed, or every_minutes"))
    new_calendar = calendar(
        body.at,
        zone=scales.settings.timezone if body.zone is None else body.zone,
        weekdays=body.weekdays or WEEKDAYS,
        jitter_minutes=body.jitter_minutes or 0,
        missed=body.missed or RUN,
        grace_minutes=GRACE if body.grace_minutes is None else body.grace_minutes,
    )
    return new_calendar, _zone(new_calendar.zone)


def _zone(name: str) -> tzinfo:
    try:
        return zones.zone(name)
    except UnknownZone as error:
        raise unfit((("zone",), str(error))) from None


def _present(
    response: Response, scales: ApiContext, device_id: DeviceId, schedule: Schedule
) -> ScheduleShown:
    if not scales.settings.scheduler_on:
        response.headers[SWITCHED_OFF] = "off"
    current = schedule.calendar
    zone = scales.settings.zone if current is None else zones.zone(current.zone)
    runs = upcoming(schedule, device_id, zone, scales.clock(), UPCOMING_RUNS)
    moments = [Moment(local=_local(run, zone), utc=utc_text(run) or "") for run in runs]
    interval = schedule.interval_minutes or scales.settings.scheduler_interval
    return ScheduleShown(
        enabled=schedule.enabled,
        every_minutes=interval if current is None else None,
        **{name: getattr(current, name, None) for name in CalendarFields.model_fields},
        next_run_utc=moments[0].utc if moments else None,
        next_run_local=moments[0].local if moments else None,
        last_run_utc=utc_text(schedule.last_run_at),
        last_status=schedule.last_status,
        last_error=schedule.last_error,
        last_skipped=_skipped(schedule),
        upcoming=moments,
    )


def _skipped(schedule: Schedule) -> Skipped | None:
    if schedule.skipped_at is None:
        return None
    return Skipped(
        at_utc=utc_text(schedule.skipped_at),
        due_utc=utc_text(schedule.skipped_due_at),
        runs=schedule.skipped_runs or 0,
        reason=schedule.skipped_reason or "",
    )


def _local(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds")
