"""Coroutines side by side, until the first ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def race(*ways: Coroutine[Any, Any, None]) -> None:
    """Wait until one ends and cancel the others. Raises what that one raised."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
