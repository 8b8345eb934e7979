"""The weights that a semaphore admits at a time."""

import asyncio

import pytest

from libs.process.weighted_semaphore import WeightedSemaphore


class Holders:
    """Tasks that hold some weight until they are released."""

    def __init__(self, capacity: int) -> None:
        self.semaphore = WeightedSemaphore(capacity)
        self.holding: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, weight: int) -> None:
        self._over[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name, weight))
        await asyncio.sleep(0)

    async def end(self, name: str, *, cancel: bool = False) -> None:
        self._tasks[name].cancel() if cancel else self._over[name].set()
        await asyncio.gather(self._tasks[name], return_exceptions=True)
        await asyncio.sleep(0)

    async def _hold(self, name: str, weight: int) -> None:
        async with self.semaphore.hold(weight):
            self.holding.append(name)
            try:
                await self._over[name].wait()
            finally:
                self.holding.remove(name)


async def test_holders_are_let_in_up_to_the_capacity_and_in_order() -> None:
    holders = Holders(10)
    for name, weight in (("a", 6), ("b", 4), ("c", 5), ("d", 1)):
        await holders.begin(name, weight)

    assert holders.holding == ["a", "b"]
    await holders.end("b")
    assert holders.holding == ["a"]  # the light one does not overtake
    await holders.end("a")
    assert holders.holding == ["c", "d"]


async def test_a_weight_above_the_capacity_is_held_alone() -> None:
    holders = Holders(10)
    for name, weight in (("light", 1), ("heavy", 99), ("next", 1)):
        await holders.begin(name, weight)

    assert holders.holding == ["light"]
    await holders.end("light")
    assert holders.holding == ["heavy"]
    await holders.end("heavy")
    assert holders.holding == ["next"]


@pytest.mark.parametrize("gone", [["waiting"], ["holding"], ["holding", "waiting"]])
async def test_a_cancelled_waiter_lets_the_next_one_in(gone: list[str]) -> None:
    holders = Holders(10)
    for name, weight in (("holding", 8), ("waiting", 9), ("next", 2)):
        await holders.begin(name, weight)

    for name in gone:
        await holders.end(name, cancel=True)
    for name in ("holding", "waiting"):
        if name in holders.holding:
            await holders.end(name)

    assert holders.holding == ["next"]
    await holders.end("next")
    await holders.begin("all", 10)
    assert holders.holding == ["all"]


async def test_a_waiter_cancelled_when_it_is_let_in_holds_nothing() -> None:
    semaphore = WeightedSemaphore(1)

    async def hold() -> None:
        async with semaphore.hold(1):
            await asyncio.sleep(0)

    async with semaphore.hold(1):
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await asyncio.wait_for(hold(), 10)
