"""The queues in front of the streams of a process."""

import asyncio
from collections.abc import Collection

from libs.eventsourcing.hot_streams import YIELD_AFTER, CachedState, HotStreams
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.libs.eventsourcing.stock import ITEM, Shop


async def test_a_command_on_other_streams_does_not_wait_for_a_queue() -> None:
    hot, finished = HotStreams(), []

    async def use(*streams: str) -> None:
        async with hot.hold([("demo", stream) for stream in streams]):
            finished.append(streams)

    async with hot.hold([("demo", "item-a")]):
        waiting = [asyncio.create_task(use("item-b", "item-a")) for _ in range(2)]
        await asyncio.sleep(0)
        await use("item-c")
        assert finished == [("item-c",)]
    await asyncio.gather(*waiting)


async def test_commands_on_a_stream_are_served_in_the_order_of_their_arrival() -> None:
    hot, served = HotStreams(), []

    async def use(number: int, *streams: str) -> None:
        async with hot.hold([("demo", stream) for stream in streams]):
            await asyncio.sleep(0)
            served.append(number)

    async with hot.hold([("demo", "a")]):
        waiting = [asyncio.create_task(use(n, *"ab"[:: 1 if n % 2 else -1])) for n in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)

    assert served == [*range(20)]


async def test_a_cancelled_command_leaves_its_queues() -> None:
    hot = HotStreams(max_queued=2)
    heads = [("demo", "a"), ("demo", "b")]

    async def use() -> None:
        async with hot.hold(heads):
            pass

    async with hot.hold(heads[1:]):
        waiting = asyncio.create_task(use())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with hot.hold(heads[:1]):
            pass
    await asyncio.gather(use(), use())


def test_a_process_lets_others_go_first_once_in_a_few_commands_on_a_cached_stream() -> None:
    hot, hot_item, cold = HotStreams(), ("demo", "item-a"), ("demo", "item-b")
    assert not any(hot.must_yield([hot_item]) for _ in range(3 * YIELD_AFTER))
    for head in (hot_item, cold):
        hot.remember(ITEM, head, CachedState(5, 1))

    yields = [hot.must_yield([hot_item]) for _ in range(2 * YIELD_AFTER + 2)]

    assert [n for n, must in enumerate(yields) if must] == [YIELD_AFTER, 2 * YIELD_AFTER + 1]
    assert not hot.must_yield([cold, hot_item])


async def test_a_command_that_must_yield_waits_for_the_locks_of_other_processes() -> None:
    log = Waiting()
    shop = Shop(log)
    await shop.stock("a", pieces=99)
    for _ in range(YIELD_AFTER + 1):
        await shop.place("a")
    assert log.waits == []

    await shop.place("a")

    (waited_for,) = log.waits
    assert "item-a" in waited_for


class Waiting(MemoryLog):
    """A log that notes the waits for locks."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[set[str]] = []

    async def wait_for_locks(self, tenant: str, streams: Collection[str]) -> None:
        self.waits.append({*streams})
