"""Scales with schedules, and those who look for what is due."""

from typing import Any

from services.scale_bridge.handlers import operation
from services.scale_bridge.handlers.schedule import Scheduling
from tests.services.scale_bridge.inside import Inside

NEVER = {
    "enabled": False,
    "interval_minutes": 1440,
    "last_run_utc": None,
    "last_status": None,
    "last_error": None,
}


async def a_device(client: Any, name: str = "Сыр") -> int:
    body = {"name": name, "ip": "127.0.0.1", "port": 9, "password": "1234"}
    answer = await client.post("/devices", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def put(client: Any, number: int, enabled: bool, minutes: Any, **more: Any) -> Any:
    body = {"enabled": enabled, "interval_minutes": minutes, **more}
    return await client.put(f"/devices/{number}/auto-update", json=body)


def scheduling(made: Inside) -> Scheduling:
    desk = made.deps.desk

    async def order(ordered: Any) -> None:
        await operation.order(desk, ordered)

    return Scheduling(store=desk.store, pool=desk.pool, order=order)
