"""A shift nobody planned: what devices send and supervisors take back, by chance."""

from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from httpx import AsyncClient

from tests.services.ingest.told import Clock

BATCH = "/api/v1/events/batch"
REMOVE = "/api/v1/events/bulk-remove"
KNOWN = 150
"""So few different scans that many are repeats, and many removals find something."""


def sent(number: int, moment: datetime, **changes: Any) -> dict[str, Any]:
    """An event as a device sends it; `changes` name what is different."""
    told = {
        "uuid": str(UUID(int=number, version=4)),
        "ts": int(moment.timestamp() * 1000),
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": str(number),
    }
    return told | changes


def some_scans(random: Random, clock: Clock) -> list[dict[str, Any]]:
    """Scans of now, of hours or days ago, of a clock that runs ahead."""
    return [
        sent(
            random.randrange(KNOWN),
            clock.now - timedelta(hours=random.choice([0, 0, 0, 1, 11, 24, 50, -1])),
            type=random.choice(["ITEM", "ITEM", "ITEM", "BOX", "CLOSE", "ERROR"]),
            operator=random.choice(["anna", "boris", ""]),
            client=random.choice(["ivancov", "petrov", ""]),
            city=random.choice(["Novosem", ""]),
            box=f"ivancov/{random.randrange(4)}",
            source=random.choice(["pwa", "pwa", "dashboard"]),
        )
        for _ in range(random.randrange(1, 12))
    ]


async def a_step(random: Random, device: AsyncClient, remover: AsyncClient, clock: Clock) -> None:
    """Some time goes by, then a device sends a batch or a supervisor takes items back."""
    clock.pass_by(microseconds=random.choice([1, 900_000, 40_000_000, 5_000_000_000]))
    if random.random() < 0.7:
        answer = await device.post(BATCH, json={"events": some_scans(random, clock)})
    else:
        uuids = [str(UUID(int=random.randrange(KNOWN), version=4)) for _ in range(8)]
        answer = await remover.post(REMOVE, json={"operator": "vera", "uuids": uuids})
    assert answer.status_code == 200, answer.text
