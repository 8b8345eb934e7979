"""The queues in front of the streams of a process."""

import asyncio

from libs.eventsourcing.hot_streams import HotStreams


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
