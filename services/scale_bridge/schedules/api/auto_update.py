"""HTTP of auto-update: the interval of a scale's date refresh, and its last run (§1.1)."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from libs.http.visible import visible
from services.scale_bridge.context import (
    ApiContext,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
)
from services.scale_bridge.schedules.domain.schedule import (
    FEWEST_MINUTES,
    MOST_MINUTES,
    Schedule,
    SetSchedule,
)
from services.scale_bridge.schedules.handlers import schedule as handler

router = APIRouter(tags=["auto-update"])

SWITCHED_OFF: Final = "X-Auto-Update"
"""The header that is `off` where schedules are off for the whole installation (R10)."""


class AutoUpdateSet(BaseModel):
    """The settings of auto-update. Fields about the last run are ignored."""

    enabled: bool
    interval_minutes: Annotated[int, Field(ge=FEWEST_MINUTES, le=MOST_MINUTES)]


class AutoUpdate(BaseModel):
    """These five keys only (§1.2)."""

    enabled: bool
    interval_minutes: int
    last_run_utc: str | None
    last_status: str | None
    last_error: str | None


@router.get("/devices/{device_id}/auto-update")
async def get(response: Response, scales: Scales, caller: Reader, device_id: int) -> AutoUpdate:
    """Auto-update of a scale; disabled if it was never set."""
    device = await own_device(scales, caller, device_id)
    schedule = await handler.get(scales, caller.tenant, device.device_id)
    return _present(response, scales, schedule)


@router.put("/devices/{device_id}/auto-update", dependencies=[visible("schedule")])
async def put(
    response: Response,
    scales: Scales,
    caller: Writer,
    metadata: Authored,
    device_id: int,
    body: AutoUpdateSet,
) -> AutoUpdate:
    """Set auto-update; the same settings again change nothing. 409 if schedules are off here.

    Another interval ends a calendar.
    """
    device = await own_device(scales, caller, device_id)
    command = SetSchedule(
        device_id=device.device_id,
        enabled=body.enabled,
        interval_minutes=body.interval_minutes,
        set_by=caller.subject,
        now=scales.clock(),
        may_run=scales.settings.scheduler_on,
    )
    schedule = await handler.put(scales, command, metadata)
    return _present(response, scales, schedule)


def _present(response: Response, scales: ApiContext, schedule: Schedule) -> AutoUpdate:
    if not scales.settings.scheduler_on:
        response.headers[SWITCHED_OFF] = "off"
    return AutoUpdate(
        enabled=schedule.enabled,
        interval_minutes=schedule.interval_minutes or scales.settings.scheduler_interval,
        last_run_utc=utc_text(schedule.last_run_at),
        last_status=schedule.last_status,
        last_error=schedule.last_error,
    )


def utc_text(moment: datetime | None) -> str | None:
    """A moment to the second, in UTC, with a Z (§1.2)."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
