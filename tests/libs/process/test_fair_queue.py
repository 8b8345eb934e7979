"""The order in which a fair queue serves waiting callers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import TooManyRequests, Unavailable
from libs.process.fair_queue import FairQueue, Source
from libs.testing.polling import PATIENCE_SECONDS


def queue(**limits: float) -> FairQueue:
    given = {
        "parallel": 1,
        "max_waiting": 100,
        "per_source": 100,
        "timeout_seconds": PATIENCE_SECONDS,
    }
    return FairQueue("work", **(given | limits))  # type: ignore[arg-type]


def source(name: str) -> Source:
    """A source; upper-case names are trusted."""
    return Source(name, trusted=name.isupper())


async def ask(fair_queue: FairQueue, names: str) -> list[asyncio.Task[None]]:
    """Start one caller per letter, in this order, until all wait, work or are refused."""
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(fair_queue.acquire(source(name))))
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(
    ("arrivals", "turns"),
    [
        ("aaabc", "abcaa"),
        ("aaaabbb", "abababa"),
        ("aAAAAAA", "AAAaAAA"),
        ("aabABBB", "ABBaBba"),
        ("A", "A"),
    ],
)
async def test_sources_are_served_in_turn_and_trusted_ones_three_times_of_four(
    arrivals: str, turns: str
) -> None:
    one = queue()
    await one.acquire(Source("working"))
    tasks = await ask(one, arrivals)
    order = ""

    for _ in arrivals:
        before = [task.done() for task in tasks]
        one.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (now,) = [n for n, task in enumerate(tasks) if task.done() and not before[n]]
        order += arrivals[now]

    assert order == turns


@pytest.mark.parametrize(
    ("arrivals", "refused"),
    [
        pytest.param("aaaa", {3: TooManyRequests}, id="a source has only so much room"),
        pytest.param("abcde", {4: Unavailable}, id="all sources have as little"),
        pytest.param("aaabc", {2: TooManyRequests}, id="the largest gives way to a newcomer"),
        pytest.param("aabbABCD", {}, id="others take no room from the trusted"),
        pytest.param("ABCDa", {}, id="nor the trusted from others"),
    ],
)
async def test_a_full_line_refuses_the_largest_source(
    arrivals: str, refused: dict[int, type[Exception]]
) -> None:
    one = queue(max_waiting=4, per_source=3)
    await one.acquire(Source("working"))

    tasks = await ask(one, arrivals)
    await asyncio.sleep(0)

    assert {n: type(task.exception()) for n, task in enumerate(tasks) if task.done()} == refused
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert one.size == 0


class Crowd:
    """Callers at a queue that lets two work at a time."""

    def __init__(self) -> None:
        self.queue = queue(parallel=2, max_waiting=8, per_source=4)
        self.working = 0
        self.callers: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def do(self, step: str | int) -> None:
        """A letter starts a caller, a number ends its work, a negative number cancels it."""
        if isinstance(step, str):
            over = asyncio.Event()
            self.callers.append((asyncio.create_task(self._work(step, over)), over))
        elif abs(step) < len(self.callers):
            task, over = self.callers[abs(step)]
            task.cancel() if step < 0 else over.set()
        for _ in range(6):
            await asyncio.sleep(0)

    async def _work(self, name: str, over: asyncio.Event) -> None:
        await self.queue.acquire(source(name))
        self.working += 1
        try:
            await over.wait()
        finally:
            self.working -= 1
            self.queue.release()


@given(st.lists(st.one_of(st.sampled_from("abAB"), st.integers(-20, 20)), max_size=60))
def test_no_permission_is_lost_or_given_twice_when_callers_give_up(steps: list[str | int]) -> None:
    async def story() -> None:
        crowd = Crowd()
        for step in steps:
            await crowd.do(step)
            assert crowd.working == 2 or crowd.queue.size == 0
            assert crowd.working <= 2
        for _, over in crowd.callers:
            over.set()
        await asyncio.gather(*(task for task, _ in crowd.callers), return_exceptions=True)
        assert (crowd.working, crowd.queue.size) == (0, 0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(2):
                await crowd.queue.acquire(Source("after"))

    asyncio.run(story())
