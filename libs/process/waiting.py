"""Waiting that ends early: to stop, or because there is something to do."""

import asyncio
from contextlib import suppress


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, at most so long; whether it came."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def wait_for_either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    """Wait for either event, at most so long."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def insist_on_cancellation(error: Exception) -> None:
    """Raise CancelledError if the task was cancelled and `error` came in its place.

    A transaction that a cancellation leaves raises its own error where the connection is lost, too.
    Call it where errors of all kinds are caught and the work goes on: else the task never ends.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
