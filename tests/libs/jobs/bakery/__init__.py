"""A bakery with a queue of loaves to bake, and with timers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from libs.clock import Clock, utc_now
from libs.jobs.queue import Queue
from libs.jobs.table import JobTable
from libs.postgres.doorbell import Doorbell, open_doorbell
from libs.postgres.pool import Pool
from libs.testing.pools import system_pool

MIGRATIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaf:
    """A loaf to bake, in an oven."""

    tenant: str
    number: int
    grain: str = "rye"
    deadline_at: datetime | None = None


LOAVES: Final = JobTable("loaf", Loaf, key={"tenant": "text", "number": "int"}, partition="oven")


@dataclass(frozen=True, slots=True)
class Bakery:
    """What the workers of a process have."""

    system: Pool
    doorbell: Doorbell
    clock: Clock = utc_now

    def loaves(self, oven: str = "stone", *, seconds: float = 60.0) -> Queue[Loaf]:
        return Queue(self.system, LOAVES, oven, seconds=seconds)


@asynccontextmanager
async def open_bakery(database: str) -> AsyncIterator[Bakery]:
    """The bakery with the rights of its processes."""
    async with system_pool(database, "bakery") as pool, open_doorbell(database, "bakery") as bell:
        yield Bakery(pool, bell)
