"""A random shift: what devices send and supervisors remove."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

from libs.testing.clock import Clock
from tests.services.ingest.history import event, uuid
from tests.services.ingest.service import Service

KNOWN = 150
"""So few different scans that many are repeats, and many removals find something."""


def sent(number: int, moment: datetime, **changes: Any) -> dict[str, Any]:
    """An item scanned at a moment, as a device sends it."""
    return event(number, **{"ts": int(moment.timestamp() * 1000)} | changes)


def some_scans(random: Random, clock: Clock) -> list[dict[str, Any]]:
    """Scans of now, of hours or days ago, of a clock that runs ahead."""
    return [
        sent(
            random.randrange(KNOWN),
            clock.now - timedelta(hours=random.choice([0, 0, 0, 1, 11, 24, 50, -1])),
            type=random.choice(["ITEM", "ITEM", "ITEM", "BOX", "CLOSE", "ERROR"]),
            operator=random.choice(["anna", "anna ", " anna", "boris", ""]),
            client=random.choice(["ivancov", "petrov", ""]),
            city=random.choice(["Novosem", ""]),
            box=f"ivancov/{random.randrange(4)}",
            source=random.choice(["pwa", "pwa", "dashboard"]),
        )
        for _ in range(random.randrange(1, 12))
    ]


async def a_step(random: Random, ingest: Service) -> None:
    """Some time passes, then a device sends a batch or a supervisor takes items back."""
    ingest.clock.advance(microseconds=random.choice([1, 900_000, 40_000_000, 5_000_000_000]))
    if random.random() < 0.7:
        await ingest.send(*some_scans(random, ingest.clock))
    else:
        await ingest.remove(*(uuid(random.randrange(KNOWN)) for _ in range(8)))
