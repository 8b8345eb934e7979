"""A scale bridge whose worker looks after everything, quickly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.scale_bridge.bootstrap import looking_tasks
from tests.services.scale_bridge.inside import Inside, working

QUICK = {
    "heal_first_seconds": 0.1,
    "heal_longest_seconds": 0.5,
    "idle_minutes": 0.0,
    "round_seconds": 0.05,
    "breaker_seconds": 0.3,
    "reply_seconds": 0.5,
    "connect_seconds": 0.5,
}


@asynccontextmanager
async def looked_after(url: str, **different: Any) -> AsyncIterator[Inside]:
    """The service with everything its worker does, and read models that follow."""
    async with working(url, **QUICK | different) as made:
        stop = asyncio.Event()
        tasks = [task(stop) for task in looking_tasks(made.settings, made.deps.desk)]
        running = [asyncio.ensure_future(one) for one in (*tasks, _following(made, stop))]
        try:
            yield made
        finally:
            stop.set()
            await asyncio.gather(*running)


async def _following(made: Inside, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await made.fresh.caught_up("all")
        await asyncio.sleep(0.02)
