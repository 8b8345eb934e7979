"""A command on several streams: all or nothing is appended, and a hot stream is no livelock."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from libs.eventsourcing.execute_many import (
    LOCKED_ATTEMPTS,
    OPTIMISTIC_ATTEMPTS,
    States,
    execute_many,
)
from libs.eventsourcing.hot_streams import HotStreams, StreamsBusy
from libs.eventsourcing.log import (
    ANY,
    NO_STREAM,
    AppendedStreams,
    EventIdReused,
    Log,
    Metadata,
    NewFact,
    StreamAppend,
    VersionConflict,
)
from libs.eventsourcing.store import ExecutedMany
from tests.libs.eventsourcing.events import everything, new
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.libs.eventsourcing.stock import (
    ITEM,
    METADATA,
    Placed,
    Reserved,
    Shop,
    SoldOut,
    Stocked,
    StockEvent,
    reservations,
)


@pytest.fixture
def shop(log: Log) -> Shop:
    return Shop(log)


async def test_what_is_decided_on_several_streams_is_appended_at_once(shop: Shop) -> None:
    await shop.stock("a", "b", pieces=2)

    done = await shop.place("a", "b", order_id="1")

    assert done.events == {
        "order-1": [Placed(["a", "b"])],
        "item-a": [Reserved("1")],
        "item-b": [Reserved("1")],
    }
    assert done.versions == {"order-1": 1, "item-a": 2, "item-b": 2}
    assert done.token == (await everything(shop.store.log))[-1].token
    assert len({one.xid for one in (await everything(shop.store.log))[2:]}) == 1


async def test_a_refusal_by_one_stream_appends_nothing_to_the_others(shop: Shop) -> None:
    await shop.stock("a", pieces=1)

    for _ in range(2):
        with pytest.raises(SoldOut):
            await shop.place("a", "b")

    assert len(await everything(shop.store.log)) == 1


async def test_a_command_without_effect_on_any_stream_has_no_token(shop: Shop) -> None:
    await shop.stock("a", pieces=2)
    await shop.place("a", order_id="1")

    again = await shop.place("a", order_id="1", expected=None)

    assert (again.events, again.token) == ({}, None)
    assert again.versions == {"order-1": 1, "item-a": 2}


async def test_a_repeated_command_returns_the_first_result_whole(shop: Shop, log: Log) -> None:
    await shop.stock("a", "b", pieces=1)
    command_id = uuid4()
    first = await shop.place("b", "a", order_id="1", command_id=command_id)

    for process in (shop, Shop(log)):
        assert await process.place("b", "a", order_id="1", command_id=command_id) == first

    with pytest.raises(SoldOut):
        await shop.place("a", "b", command_id=uuid4())
    assert len(await everything(log)) == 5


async def test_one_command_sent_many_times_at_once_is_done_once(log: Log) -> None:
    processes = [Shop(log) for _ in range(3)]
    await processes[0].stock("a", "b", pieces=99)
    for number in range(5):
        command_id = uuid4()
        twins = (
            process.place("a", "b", order_id=str(number), command_id=command_id)
            for process in processes * 2
        )
        first, *others = await asyncio.gather(*twins)
        assert others == [first] * 5

    assert await reservations(log) == {"a": 5, "b": 5}


async def test_the_outcome_of_a_command_has_as_many_events_as_it_had(shop: Shop) -> None:
    items = [f"i{number:03}" for number in range(100)]
    await shop.stock(*items, pieces=1)
    for count in (31, 32, 33):
        wanted, items = items[:count], items[count:]
        command_id = uuid4()

        first = await shop.place(*wanted, order_id=str(count), command_id=command_id)

        assert len(first.events) == count + 1
        assert await shop.place(*wanted, order_id=str(count), command_id=command_id) == first


async def test_a_command_id_belongs_to_its_streams(shop: Shop, log: Log) -> None:
    await shop.stock("a", "b", pieces=9)
    command_id = uuid4()
    await shop.place("a", order_id="1", command_id=command_id)

    for process in (shop, Shop(log)):
        with pytest.raises(EventIdReused):
            await process.place("b", order_id="2", command_id=command_id)

    assert await reservations(log) == {"a": 1}


async def test_a_conflict_with_an_expected_version_is_raised_with_the_stream(shop: Shop) -> None:
    await shop.stock("a", pieces=9)
    await shop.place("a", order_id="1")

    with pytest.raises(VersionConflict) as conflict:
        await shop.place("a", order_id="1", expected=NO_STREAM)
    assert conflict.value.streams == frozenset({"order-1"})
    with pytest.raises(VersionConflict):
        await shop.place("a", order_id="2", expected=3)

    assert await reservations(shop.store.log) == {"a": 1}


class Counting(MemoryLog):
    """A log that counts the queries, appends and locks of commands on several streams.

    Like a database it lets others run meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.appends = self.locks = 0

    async def read_streams(self, *args: Any, **options: Any) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().read_streams(*args, **options)

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        self.appends += 1
        await asyncio.sleep(0)
        return await super().append_streams(streams, metadata=metadata, facts=facts)

    def lock_streams(self, *args: Any) -> Any:
        self.locks += 1
        return super().lock_streams(*args)


async def test_a_command_on_cached_states_costs_one_append_and_no_query() -> None:
    log = Counting()
    shop = Shop(log)
    await shop.stock("a", "b", pieces=9)
    await shop.place("a", "b")
    assert log.reads == 1
    log.appends = 0

    for _ in range(3):
        await shop.place("a", "b")

    assert (log.reads, log.appends, shop.decided) == (1, 3, 4)


@pytest.mark.parametrize("command_id", [None, uuid4()])
async def test_a_cached_state_that_is_out_of_date_refuses_nothing_and_oversells_nothing(
    log: Log, command_id: Any
) -> None:
    here, there = Shop(log), Shop(log)
    await here.stock("a", "b", pieces=1)
    await here.place("a", "b")
    with pytest.raises(SoldOut):
        await here.place("a", "b")
    await there.stock("a", "b", pieces=1)

    await here.place("a", "b", command_id=command_id)
    with pytest.raises(SoldOut):
        await there.place("a", "b")

    assert await reservations(log) == {"a": 2, "b": 2}


async def test_a_state_is_cached_for_its_own_decider_only(shop: Shop) -> None:
    await shop.stock("a", pieces=1)
    await shop.place("a")
    counter = replace(ITEM, evolve=lambda events, _: events + 1)

    def decide(states: States) -> dict[str, list[StockEvent]]:
        return {"item-a": [Stocked(states.of(counter, "a"))]}

    done = await execute_many(shop.store, [(counter, "a")], decide, metadata=METADATA)

    assert done.events == {"item-a": [Stocked(2)]}


async def test_of_many_buyers_of_few_pieces_as_many_succeed_at_one_append_each() -> None:
    log = Counting()
    shop = Shop(log)
    await shop.stock("a", "b", pieces=10)
    log.appends = 0

    assert await shop.sold([["a", "b"]] * 1000) == 10

    assert log.appends == 10
    # A refusal on a cached state is decided again on the log's.
    assert shop.decided <= 2 * 1000


async def test_a_queue_that_is_full_refuses_at_once_and_other_queues_do_not() -> None:
    shop = Shop(MemoryLog())
    shop.store.hot = HotStreams(max_queued=3)
    await shop.stock("a", "b", "c", pieces=9)

    async with shop.store.hot.hold([("demo", "item-a")]):
        waiting = [asyncio.create_task(shop.place("a", "b")) for _ in range(2)]
        await asyncio.sleep(0)
        for wanted in (["a"], ["b", "a"]):
            with pytest.raises(StreamsBusy):
                await shop.place(*wanted)
        await shop.place("c")
    await asyncio.gather(*waiting)
    await shop.place("a", "b")

    assert await reservations(shop.store.log) == {"a": 3, "b": 3, "c": 1}


async def test_only_the_states_of_the_streams_used_last_are_cached() -> None:
    log = Counting()
    shop = Shop(log)
    shop.store.hot = HotStreams(max_states=1)
    await shop.stock("a", "b", pieces=9)
    for expected_reads, item in enumerate("aba", 1):
        await shop.place(item)
        assert log.reads == expected_reads
    await shop.place("a")
    assert log.reads == 3


class Contended(Counting):
    """A log in which another process appends to item-a just before each append."""

    rivals = 0

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        if self.rivals:
            self.rivals -= 1
            rival = new(type="Stocked", data=b'{"pieces": 0}')
            part = StreamAppend(stream="item-a", events=[rival], expected=ANY)
            await super().append_streams([part], metadata=METADATA)
        return await super().append_streams(streams, metadata=metadata, facts=facts)


async def test_a_command_is_retried_until_other_processes_leave_it_a_gap() -> None:
    log = Contended()
    shop = Shop(log)
    await shop.stock("a", pieces=9)
    log.rivals = OPTIMISTIC_ATTEMPTS + LOCKED_ATTEMPTS - 1

    await shop.place("a")

    assert shop.decided == OPTIMISTIC_ATTEMPTS + LOCKED_ATTEMPTS
    assert log.locks == 1


async def test_a_command_takes_a_lock_only_after_several_conflicts() -> None:
    log = Contended()
    shop = Shop(log)
    await shop.stock("a", pieces=9)
    log.rivals = OPTIMISTIC_ATTEMPTS - 1

    await shop.place("a")

    assert (shop.decided, log.locks) == (OPTIMISTIC_ATTEMPTS, 0)


class Repeated(MemoryLog):
    """A log in which the same command was decided on fewer streams just before its append."""

    twin: Callable[[], Awaitable[ExecutedMany[StockEvent]]] | None = None
    first: ExecutedMany[StockEvent] | None = None

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        twin, self.twin = self.twin, None
        if twin:
            self.first = await twin()
        return await super().append_streams(streams, metadata=metadata, facts=facts)


@pytest.mark.parametrize("is_cached", [False, True])
async def test_a_command_decided_otherwise_at_the_same_time_returns_the_first_result(
    *, is_cached: bool
) -> None:
    log, command_id = Repeated(), uuid4()
    here, there = Shop(log), Shop(log)
    await here.stock("a", "b", pieces=9)
    if is_cached:
        await here.place("a", "b")
    log.twin = lambda: there.place("a", order_id="1", command_id=command_id)

    done = await here.place("a", "b", order_id="1", command_id=command_id)

    assert done == log.first
    assert done.events == {"order-1": [Placed(["a"])], "item-a": [Reserved("1")]}


async def test_a_command_that_never_gets_a_gap_ends_with_an_error_of_its_own() -> None:
    log = Contended()
    shop = Shop(log)
    await shop.stock("a", pieces=9)
    log.rivals = 1000

    with pytest.raises(StreamsBusy):
        await shop.place("a")

    assert shop.decided == OPTIMISTIC_ATTEMPTS + LOCKED_ATTEMPTS
    assert await reservations(log) == {}
