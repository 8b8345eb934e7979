"""Several things at once, until one of them is over."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first(*ways: Coroutine[Any, Any, None]) -> None:
    """Until one of them is over; the others have stopped then, too. Raises as that one did."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
