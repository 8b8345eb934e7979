"""Waiting that ends early: when the process stops, or when one of several things is done."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, for at most `seconds`. Returns whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def wait_for_either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    """Wait until one of the events is set, for at most `seconds`."""
    waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


async def race(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until the first coroutine ends and cancel the others. Raises what the first raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def reraise_cancellation(error: Exception) -> None:
    """Raise CancelledError if the task was cancelled and `error` came in its place.

    A transaction that is left by a cancellation raises its own error if its connection is lost.
    Call this wherever errors of all kinds are caught in a loop: otherwise the task never ends.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
