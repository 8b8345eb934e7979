"""A command against the log: decided on its history, appended once; and the words that tests of
aggregates are written in."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import (
    ANY,
    Appended,
    EventIdReused,
    Expected,
    Log,
    Metadata,
    NewEvent,
    NewFact,
    RecordedEvent,
    VersionConflict,
)
from libs.eventsourcing.store import EventStore, Executed
from libs.eventsourcing.testing import Scenario
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.libs.eventsourcing.shop import (
    CODEC,
    TILL,
    Close,
    Closed,
    Command,
    Event,
    Open,
    Opened,
    Ring,
    Rung,
    State,
    TillClosed,
)

METADATA = Metadata(tenant="demo")


@pytest.fixture
def store(log: Log) -> EventStore[Event]:
    return EventStore(log, CODEC)


async def events_of(store: EventStore[Event], stream: str = "till-1") -> list[Event]:
    return list((await store.read("demo", stream)).events)


async def run(
    store: EventStore[Event], command: Command, *, till: int = 1, **options: Any
) -> Executed[Event]:
    return await execute(store, TILL, till, command, metadata=METADATA, **options)


async def test_what_is_decided_is_appended(store: EventStore[Event]) -> None:
    await run(store, Open())

    done = await run(store, Ring(5))

    assert (done.events, done.version) == ([Rung(5)], 2)
    assert done.token
    assert await events_of(store) == [Opened(), Rung(5)]


async def test_a_refusal_appends_nothing(store: EventStore[Event]) -> None:
    with pytest.raises(TillClosed):
        await run(store, Ring(5))

    assert await events_of(store) == []


async def test_a_command_without_effect_appends_nothing_and_has_no_token(
    store: EventStore[Event],
) -> None:
    await run(store, Open())

    assert await run(store, Open()) == Executed([], 1, None)


async def test_a_command_is_decided_again_after_a_version_conflict(
    store: EventStore[Event],
) -> None:
    await run(store, Open())

    for _ in range(3):
        both = (run(store, Ring(cents)) for cents in (1, 2, 3))
        await asyncio.gather(*both)

    await run(store, Close())
    assert (await events_of(store))[-1] == Closed(18)


async def test_a_conflict_with_the_expected_version_is_raised(store: EventStore[Event]) -> None:
    await run(store, Open())

    with pytest.raises(VersionConflict):
        await run(store, Ring(5), expected=0)
    await run(store, Ring(5), expected=1)

    assert await events_of(store) == [Opened(), Rung(5)]


async def test_a_repeated_command_answers_the_first_result(store: EventStore[Event]) -> None:
    command = uuid4()
    await run(store, Open())
    first = await run(store, Close(), command_id=command)
    await run(store, Open())

    again = await run(store, Close(), command_id=command)
    stale = await run(store, Close(), command_id=command, expected=1)

    assert first == again == stale
    assert len(await events_of(store)) == 4


async def test_a_command_id_belongs_to_one_stream(store: EventStore[Event]) -> None:
    command = uuid4()
    await run(store, Open(), command_id=command)

    with pytest.raises(EventIdReused):
        await run(store, Open(), till=2, command_id=command)


async def test_one_command_sent_many_times_at_once_is_done_once(store: EventStore[Event]) -> None:
    await run(store, Open())
    for cents in range(1, 6):
        command = uuid4()
        twins = (run(store, Ring(cents), command_id=command) for _ in range(5))
        answers = await asyncio.gather(*twins)
        assert [answer.events for answer in answers] == [[Rung(cents)]] * 5
        assert len({(answer.version, answer.token) for answer in answers}) == 1

    assert await events_of(store) == [Opened(), *map(Rung, range(1, 6))]


class Interrupted(MemoryLog):
    """A log in which another writer acts just before a given call."""

    def __init__(self) -> None:
        super().__init__()
        self.before_read: list[NewEvent] = []
        self.before_append: list[NewEvent] = []

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        events, self.before_read = self.before_read, []
        if events:
            await super().append(stream, events, expected=ANY, metadata=METADATA)
        return await super().read(tenant, stream, after=after)

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: Expected,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> Appended:
        if self.before_append:
            others, self.before_append = self.before_append, []
            await super().append(stream, others, expected=ANY, metadata=METADATA)
        return await super().append(
            stream, events, expected=expected, metadata=metadata, facts=facts
        )


async def written_by_a_twin(history: Sequence[Event]) -> list[NewEvent]:
    """What the same command writes behind `history`, taken from a log of its own."""
    store = EventStore(MemoryLog(), CODEC)
    await store.append("till-1", history, expected=ANY, metadata=METADATA)
    await run(store, Close(), command_id=COMMAND)
    return [*await store.log.read("demo", "till-1", after=len(history))]


COMMAND = uuid4()


@pytest.mark.parametrize("moment", ["before_read", "before_append"])
async def test_a_repeated_command_is_not_refused_because_of_its_first_run(
    moment: str,
) -> None:
    log = Interrupted()
    store = EventStore(log, CODEC)
    await store.append("till-1", [Opened(), Rung(5)], expected=ANY, metadata=METADATA)
    setattr(log, moment, await written_by_a_twin([Opened(), Rung(5)]))

    answer = await run(store, Close(), command_id=COMMAND)

    assert (answer.events, answer.version) == ([Rung(0), Closed(5)], 4)
    assert len(await events_of(store)) == 4


async def test_a_repetition_that_was_decided_on_a_later_history_is_the_result() -> None:
    log = Interrupted()
    store = EventStore(log, CODEC)
    await store.append("till-1", [Opened()], expected=ANY, metadata=METADATA)
    between = EventStore(MemoryLog(), CODEC)
    await between.append("till-1", [Rung(9)], expected=ANY, metadata=METADATA)
    (sale,) = await between.log.read("demo", "till-1")
    log.before_append = [sale, *await written_by_a_twin([Opened(), Rung(9)])]

    answer = await run(store, Close(), command_id=COMMAND)

    assert answer.events == [Rung(0), Closed(9)]
    assert await events_of(store) == [Opened(), Rung(9), Rung(0), Closed(9)]


SCENARIO: Scenario[State, Command, Event] = Scenario(TILL)


def test_given_some_history_a_command_decides_events_or_nothing_or_is_refused() -> None:
    SCENARIO.given(Opened(), Rung(5)).given(Rung(7)).when(Close()).then(Rung(0), Closed(12))
    SCENARIO.given(Opened()).when(Open()).then_nothing()
    # What was given to another one is not shared.
    SCENARIO.when(Open()).then(Opened())
    SCENARIO.when(Ring(1)).then_refused(TillClosed)
    assert TILL.stream(7) == "till-7"


def test_a_scenario_that_is_wrong_fails() -> None:
    opened = SCENARIO.given(Opened())

    with pytest.raises(AssertionError):
        opened.when(Ring(1)).then(Rung(2))
    with pytest.raises(AssertionError):
        opened.when(Ring(1)).then_nothing()
    with pytest.raises(BaseException, match="DID NOT RAISE"):
        opened.when(Ring(1)).then_refused(TillClosed)
