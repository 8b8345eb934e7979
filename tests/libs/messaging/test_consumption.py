"""What a projector does with its consumer, held against one that only takes notes, and how records
are asked for: nobody sleeps while some are there, nobody asks without a pause."""

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from libs.messaging.apply import apply
from libs.messaging.consumption import Broken, Consumption, Progress
from libs.messaging.projector import Projector
from libs.messaging.subscription import Source, make_patient
from tests.libs.messaging.lab import Ledger
from tests.libs.messaging.wires import TOPIC, lane, recorded

SOURCE = Source(bootstrap="127.0.0.1:1", prefix="t", group="lab")


class Notes:
    """A consumer that notes what is called, and takes offsets as aiokafka does or fails."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._trouble = trouble

    def pause(self, *partitions: Any) -> None:
        self.calls.append(("pause", len(partitions)))

    def resume(self, *partitions: Any) -> None:
        self.calls.append(("resume", len(partitions)))

    def seek(self, partition: Any, offset: int) -> None:
        self.calls.append(("seek", partition.partition, offset))

    async def commit(self, offsets: dict[Any, int]) -> None:
        if self._trouble:
            raise self._trouble
        if not offsets:
            raise ValueError(offsets)
        self.calls.append(("commit", len(offsets)))


def consuming(
    pool: asyncpg.Pool, trouble: Exception | None = None
) -> tuple[Consumption[Any], Notes]:
    """A consumption of the ledger, and its consumer that takes notes."""
    made, notes = Consumption(pool, Ledger().projection, SOURCE, Progress(), None), Notes(trouble)
    made._subscriber = SimpleNamespace(consumer=notes)
    return made, notes


async def test_lanes_stand_still_from_the_first_moment_until_they_are_placed(
    pool: asyncpg.Pool,
) -> None:
    await apply(pool, Ledger().projection, lane([recorded(1), recorded(2, version=2)]))
    consumption, notes = consuming(pool)

    assigning = asyncio.create_task(consumption.assigned({(TOPIC, 0), (TOPIC, 1)}))
    await asyncio.sleep(0)
    assert notes.calls == [("pause", 2)]
    await assigning

    assert notes.calls[-1] == ("resume", 2)
    assert sorted(notes.calls[1:-1]) == [("seek", 0, 2), ("seek", 1, 0)]


async def test_lanes_that_arrive_while_it_stops_do_not_make_it_ready_again(
    pool: asyncpg.Pool,
) -> None:
    """Seen under load: the others leave first, and the last one is given their lanes as it goes."""
    consumption, _ = consuming(pool)
    assigning = asyncio.create_task(consumption.assigned({(TOPIC, 0)}))
    await asyncio.sleep(0)

    await consumption.stop()
    await assigning

    assert (consumption._progress.joined, consumption._progress.lanes) == (False, set())


async def test_lanes_go_on_although_the_checkpoints_cannot_be_asked_for(pool: asyncpg.Pool) -> None:
    consumption, notes = consuming(pool)
    pool.terminate()

    await consumption.assigned({(TOPIC, 0)})

    assert notes.calls == [("pause", 1), ("resume", 1)]


async def test_who_has_lost_every_lane_tells_kafka_nothing(pool: asyncpg.Pool) -> None:
    consumption, notes = consuming(pool)
    await consumption.assigned({(TOPIC, 0)})
    await consumption.hint()

    await consumption.revoked({(TOPIC, 0)})
    await consumption.hint()

    assert [one for one in notes.calls if one[0] == "commit"] == [("commit", 1)]


async def test_the_group_is_left_whatever_goes_wrong_before(pool: asyncpg.Pool) -> None:
    consumption, _ = consuming(pool, RuntimeError("no"))
    await consumption.assigned({(TOPIC, 0)})
    left = asyncio.Event()

    async def leave() -> None:
        left.set()

    consumption._broker = cast(Any, SimpleNamespace(stop=leave))
    with pytest.raises(RuntimeError):
        await consumption.stop()

    assert left.is_set()


class Still:
    """A consumption in which nothing happens."""

    busy = False
    behind = 0

    async def align(self) -> None: ...
    async def hint(self) -> None: ...

    async def lag(self) -> int:
        return self.behind


async def test_only_who_stands_still_with_work_waiting_is_stuck(pool: asyncpg.Pool) -> None:
    projector = Projector(pool, Ledger().projection, SOURCE)
    still: Any = Still()

    # Idle for long, then something comes: that is no reason to begin anew.
    projector.progress.moved_at = monotonic() - 1000
    await projector._look(still)
    still.behind = 5
    await projector._look(still)

    projector.progress.moved_at = monotonic() - 1000
    still.busy = True
    await projector._look(still)
    projector.progress.moved_at = monotonic() - 1000
    still.busy = False
    with pytest.raises(Broken, match="5 waiting"):
        await projector._look(still)


class Slow:
    """A consumer with nothing for a while, which says so when the time is over."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]
        self.asked: list[int] = []

    async def getmany(self, *_: Any, timeout_ms: int, max_records: int) -> Any:
        self.asked.append(timeout_ms)
        answer = self.answers.pop(0)
        if not answer:
            await asyncio.sleep(timeout_ms / 1000)
        return answer


async def test_a_poll_lasts_until_something_came() -> None:
    consumer = Slow({}, {}, {"lane": ["record"]})
    make_patient(consumer)

    assert await consumer.getmany(timeout_ms=10, max_records=5) == {"lane": ["record"]}
    assert len(consumer.asked) == 3


async def test_a_consumer_that_says_nothing_at_once_is_not_asked_on_and_on() -> None:
    class Closed(Slow):
        async def getmany(self, *_: Any, timeout_ms: int, max_records: int) -> Any:
            self.asked.append(timeout_ms)
            return {}

    consumer = Closed()
    make_patient(consumer)

    assert await consumer.getmany(timeout_ms=60_000, max_records=5) == {}
    assert len(consumer.asked) == 1
