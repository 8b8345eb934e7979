"""Workers of the bakery while a test runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from libs.jobs.worker import Worker
from tests.libs.jobs.bakery import Bakery, Loaf


def baker(
    bakery: Bakery,
    bake: Callable[[Loaf], Awaitable[object]],
    *,
    seconds: float = 60.0,
    **options: Any,
) -> Worker[Loaf]:
    """A worker of the stone oven."""
    queue = bakery.loaves(seconds=seconds)
    return Worker(name="loaves", queue=queue, run_job=bake, doorbell=bakery.doorbell, **options)


@asynccontextmanager
async def running(*workers: Worker[Any]) -> AsyncIterator[None]:
    """Workers that run until the end of the block."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
