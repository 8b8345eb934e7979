"""Rounds: one failure is not the end, and stopping is not cut short."""

import asyncio

from libs.errors import Unavailable
from libs.process.rounds import rounds
from libs.testing.waiting import PATIENCE_SECONDS


async def test_turns_follow_each_other_until_it_is_stopped() -> None:
    stop, taken = asyncio.Event(), 0

    async def turn() -> None:
        nonlocal taken
        taken += 1
        if taken == 3:
            stop.set()

    await asyncio.wait_for(rounds("count", turn, seconds=0)(stop), PATIENCE_SECONDS)

    assert taken == 3


async def test_a_failed_turn_is_followed_by_another() -> None:
    stop = asyncio.Event()
    errors: list[Exception] = [Unavailable(), ValueError("mine")]

    async def turn() -> None:
        if errors:
            raise errors.pop(0)
        stop.set()

    await asyncio.wait_for(rounds("fail", turn, seconds=0.001)(stop), PATIENCE_SECONDS)

    assert not errors


async def test_a_turn_under_way_is_finished() -> None:
    stop, finished = asyncio.Event(), False

    async def turn() -> None:
        nonlocal finished
        stop.set()
        await asyncio.sleep(0)
        finished = True

    await asyncio.wait_for(rounds("last", turn, seconds=60)(stop), PATIENCE_SECONDS)

    assert finished
