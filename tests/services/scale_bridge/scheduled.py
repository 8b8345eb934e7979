"""Devices with schedules, and workers that begin their runs."""

from functools import partial
from typing import Any

from httpx import AsyncClient, Response

from services.scale_bridge.handlers import operation
from services.scale_bridge.handlers.schedule import Scheduling
from tests.services.scale_bridge.service import Service

NEVER = {
    "enabled": False,
    "interval_minutes": 1440,
    "last_run_utc": None,
    "last_status": None,
    "last_error": None,
}


async def put_interval(
    client: AsyncClient, number: int, enabled: bool, minutes: Any, **more: Any
) -> Response:
    """Set a schedule by interval, as its clients always did."""
    body = {"enabled": enabled, "interval_minutes": minutes, **more}
    return await client.put(f"/devices/{number}/auto-update", json=body)


def scheduling(service: Service) -> Scheduling:
    """What a worker needs to begin runs that are due."""
    desk = service.deps.desk
    return Scheduling(store=desk.store, pool=desk.pool, order=partial(operation.order, desk))
