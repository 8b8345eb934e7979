"""Cancels the answer to a client that disconnects."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def cancel_on_disconnect(
    receive: Callable[[], Awaitable[Any]], sending: Awaitable[None]
) -> None:
    """Run `sending` to its end, or until the client hangs up."""
    task = asyncio.ensure_future(sending)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
