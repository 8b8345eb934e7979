"""How slowly a request's body may come."""

import asyncio
from typing import Any

import pytest

from libs.http.body_timeout import BodyTimeout, BodyTooSlow, TimedBody
from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS


class Client:
    """Sends its parts, each so many seconds after the one before."""

    def __init__(self, *parts: bytes, seconds: float = 0) -> None:
        self.left = list(parts)
        self.seconds = seconds
        self.clock = MonotonicClock()

    async def __call__(self) -> Any:
        self.clock.advance(self.seconds)
        if not self.left:
            return {"type": "http.disconnect"}
        part = self.left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.left)}


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        # Who keeps up the rate may take as long as it takes.
        (100, 1000),
        # Every part is late by 0.9 s, which ten seconds pay for eleven times, not twelve.
        (10, 12),
    ],
)
async def test_a_trickling_body_is_cut_off_when_its_time_is_used_up(size: int, taken: int) -> None:
    client = Client(*[b"x" * size] * 1000, seconds=1)
    timed = TimedBody(client, BodyTimeout(seconds=10, rate=100, now=client.clock))

    number = 0
    while client.left:
        try:
            await timed()
        except BodyTooSlow:
            break
        number += 1

    assert number == taken


async def test_time_in_which_the_service_does_not_read_does_not_count() -> None:
    client = Client(*[b"x" * 10] * 20)
    timed = TimedBody(client, BodyTimeout(seconds=1, rate=1000, now=client.clock))

    for _ in range(20):
        await timed()
        client.clock.advance(60)


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_fast_start_does_not_allow_a_long_pause() -> None:
    begun = False

    async def stall() -> Any:
        nonlocal begun
        if begun:
            await never()
        begun = True
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    timed = TimedBody(stall, BodyTimeout(seconds=0.05, rate=1))
    await timed()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(BodyTooSlow):
            await timed()


async def test_only_the_late_one_of_several_bodies_is_cut_off() -> None:
    go_on = asyncio.Event()

    async def late() -> Any:
        await go_on.wait()
        return {"type": "http.request", "body": b"x" * 100}

    slow = asyncio.create_task(TimedBody(never, BodyTimeout(seconds=0.2, rate=1))())
    await asyncio.sleep(0)
    go_on.set()
    message = await TimedBody(late, BodyTimeout(seconds=PATIENCE_SECONDS, rate=1))()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(BodyTooSlow):
            await slow

    assert message["body"] == b"x" * 100
    assert slow.cancelling() == 0


async def test_a_cancelled_reader_does_not_get_a_timeout() -> None:
    waiting = asyncio.create_task(TimedBody(never, BodyTimeout(seconds=60, rate=1))())
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_comes_after_the_body_may_take_any_time() -> None:
    client = Client(b"x", b"y")
    timed = TimedBody(client, BodyTimeout(seconds=10, rate=1, now=client.clock))
    while client.left:
        await timed()
    client.seconds = 10_000

    for _ in range(3):
        assert await timed() == {"type": "http.disconnect"}
