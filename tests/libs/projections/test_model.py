"""Whatever is done, in whatever order: log, projection and parking agree with dictionaries that say
what they should be."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.eventsourcing.log import (
    ANY,
    AnyVersion,
    AppendedStreams,
    EventIdReused,
    Expected,
    Log,
    NewEvent,
    StreamAppend,
    VersionConflict,
)
from libs.eventsourcing.postgres import PostgresLog
from libs.projections import parking
from libs.projections.parking import NotParked, StillFailing
from tests.libs.eventsourcing.events import fact, new
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.libs.messaging.lab import METADATA, Ledger, rows_of_ledger
from tests.libs.projections.rebuilding import rebuild
from tests.libs.projections.shop import EMPTY, Shop, open_shop

streams = st.sampled_from(["order-a", "order-b", "order-c"])
kinds = st.sampled_from(["Numbered", "Cursed"])
sizes = st.integers(1, 3)
facts = st.lists(st.integers(0, 8), max_size=5)
several = st.dictionaries(streams, sizes, min_size=1)


class Model(RuleBasedStateMachine):
    """The system beside what it should be."""

    def __init__(self, run: Callable[[Awaitable[Any]], Any], shop: Shop, log: Log) -> None:
        super().__init__()
        self.run_, self.shop, self.log = run, shop, log
        self.pool, self.ledger = shop.pool, shop.ledger
        self.events: list[tuple[str, int | None, str, int]] = []
        self.appends: list[tuple[str, list[NewEvent], int]] = []
        self.appends_of_several: list[tuple[dict[str, list[NewEvent]], AppendedStreams]] = []
        self.facts: set[int] = set()
        self.followed = 0
        self.table: dict[str, list[int]] = {}
        self.parked: dict[str, int] = {}

    def version(self, stream: str) -> int:
        return sum(name == stream and version is not None for name, version, _, _ in self.events)

    def new(self, kind: str, size: int) -> list[NewEvent]:
        first = len(self.events) + 100
        return [new(UUID(int=n), b'{"n": %d}' % n, type=kind) for n in range(first, first + size)]

    def append(self, stream: str, events: list[NewEvent], expected: Expected) -> int:
        appended = self.log.append(stream, events, expected=expected, metadata=METADATA)
        return int(self.run_(appended).version)

    @rule(stream=streams, kind=kinds, size=sizes, any_version=st.booleans())
    def append_rightly(self, stream: str, kind: str, size: int, *, any_version: bool) -> None:
        before, events = self.version(stream), self.new(kind, size)
        version = self.append(stream, events, ANY if any_version else before)
        assert version == before + size
        for n, event in enumerate(events, before + 1):
            self.events.append((stream, n, kind, event.event_id.int))
        self.appends.append((stream, events, version))

    @rule(stream=streams, off=st.sampled_from([-1, 1, 7]))
    def append_wrongly(self, stream: str, off: int) -> None:
        with pytest.raises(VersionConflict):
            self.append(stream, self.new("Numbered", 1), self.version(stream) + off)

    @precondition(lambda self: self.appends)
    @rule(data=st.data(), expected=st.sampled_from([ANY, 0, 3]))
    def append_again(self, data: st.DataObject, expected: Expected) -> None:
        stream, events, version = data.draw(st.sampled_from(self.appends))
        assert self.append(stream, events, expected) == version

    @precondition(lambda self: self.appends)
    @rule(data=st.data(), stream=streams)
    def append_under_ids_of_others(self, data: st.DataObject, stream: str) -> None:
        taken, events, _ = data.draw(st.sampled_from(self.appends))
        more = [*events, *self.new("Numbered", 1)]
        for name, wrong in ((taken, more), (f"{taken}-{stream}", events)):
            with pytest.raises(EventIdReused):
                self.append(name, wrong, ANY)

    def append_streams(
        self, events: Mapping[str, Sequence[NewEvent]], off: Mapping[str, int | AnyVersion]
    ) -> AppendedStreams:
        """Append to streams at their versions, or so far `off`."""
        parts = []
        for stream, new_events in events.items():
            wrong = off.get(stream, 0)
            expected = wrong if isinstance(wrong, AnyVersion) else self.version(stream) + wrong
            parts.append(StreamAppend(stream=stream, events=new_events, expected=expected))
        appended = self.run_(self.log.append_streams(parts, metadata=METADATA))
        assert isinstance(appended, AppendedStreams)
        return appended

    def new_of_several(self, sizes: Mapping[str, int], kind: str) -> dict[str, list[NewEvent]]:
        numbers = iter(self.new(kind, sum(sizes.values())))
        return {stream: [*islice(numbers, size)] for stream, size in sizes.items()}

    @rule(sizes=several, kind=kinds, any_version=st.sets(streams))
    def append_to_several_rightly(
        self, sizes: dict[str, int], kind: str, any_version: set[str]
    ) -> None:
        events = self.new_of_several(sizes, kind)
        after = {stream: self.version(stream) + size for stream, size in sizes.items()}
        appended = self.append_streams(events, dict.fromkeys(any_version, ANY))
        assert appended.versions == after
        for stream in sorted(events):
            for n, event in enumerate(events[stream], self.version(stream) + 1):
                self.events.append((stream, n, kind, event.event_id.int))
        self.appends_of_several.append((events, appended))

    @rule(sizes=several, off=st.dictionaries(streams, st.sampled_from([-1, 1, 7]), min_size=1))
    def append_to_several_wrongly(self, sizes: dict[str, int], off: dict[str, int]) -> None:
        events = self.new_of_several({**dict.fromkeys(off, 1), **sizes}, "Numbered")
        with pytest.raises(VersionConflict) as conflict:
            self.append_streams(events, off)
        assert conflict.value.streams == off.keys()

    @precondition(lambda self: self.appends_of_several)
    @rule(data=st.data(), off=st.sampled_from([0, 1, 7]))
    def append_to_several_again(self, data: st.DataObject, off: int) -> None:
        events, first = data.draw(st.sampled_from(self.appends_of_several))
        assert self.append_streams(events, dict.fromkeys(events, off)) == first

    @precondition(lambda self: self.appends_of_several)
    @rule(data=st.data(), stream=streams)
    def append_to_several_under_ids_of_others(self, data: st.DataObject, stream: str) -> None:
        events, _ = data.draw(st.sampled_from(self.appends_of_several))
        more = {**events, f"{stream}-new": self.new("Numbered", 1)}
        with pytest.raises(EventIdReused):
            self.append_streams(more, {})

    @rule(numbers=facts)
    def record_facts(self, numbers: list[int]) -> None:
        given = [
            fact(UUID(int=n), b'{"n": %d}' % n, type="Numbered", stream="order-f") for n in numbers
        ]
        answer = self.run_(self.log.append_facts(given, metadata=METADATA))
        fresh = sorted(set(numbers) - self.facts)
        assert sorted(event_id.int for event_id in answer.new) == fresh
        self.facts |= set(fresh)
        # Among themselves facts have no order: take the log's.
        self.events += [("order-f", None, "Numbered", e.event_id.int) for e in self.tail(fresh)]

    def tail(self, fresh: list[int]) -> list[Any]:
        return [e for e in self.logged() if e.version is None and e.event_id.int in fresh]

    def logged(self) -> list[Any]:
        async def read() -> list[Any]:
            return [event async for page in self.log.read_all(page=5) for event in page]

        return list(self.run_(read()))

    @precondition(lambda self: isinstance(self.log, PostgresLog))
    @rule(size=st.integers(1, 9))
    def project(self, size: int) -> None:
        applied = self.run_(self.shop.step(page=size))
        end = self.followed + applied
        assert applied == min(size, len(self.events) - self.followed) or applied < size
        for at in range(self.followed, end):
            stream, _, kind, number = self.events[at]
            if stream in self.parked:
                continue
            if kind == "Cursed" and self.ledger.cursed:
                self.parked[stream] = at
            else:
                self.table.setdefault(stream, []).append(number)
        self.followed = end

    def pending(self, stream: str, *, until: int | None = None) -> list[tuple[str, int]]:
        """The pending events of a parked stream, up to the read model's position."""
        since = self.events[self.parked[stream] : until]
        return [(kind, number) for name, _, kind, number in since if name == stream]

    @rule()
    def mend_or_break_the_projection(self) -> None:
        self.ledger.cursed = not self.ledger.cursed

    @rule(stream=streams)
    def retry_what_is_not_parked(self, stream: str) -> None:
        if stream not in self.parked:
            with pytest.raises(NotParked):
                self.run_(parking.retry(self.pool, self.ledger.projection, ("demo", stream)))

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.parked)))
        pending = self.pending(stream, until=self.followed)
        retrying = parking.retry(self.pool, self.ledger.projection, ("demo", stream))
        if self.ledger.cursed and any(kind == "Cursed" for kind, _ in pending):
            with pytest.raises(StillFailing):
                self.run_(retrying)
            return
        assert self.run_(retrying) == len(pending)
        self.table.setdefault(stream, []).extend(number for _, number in pending)
        del self.parked[stream]

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.parked)))
        dropping = parking.drop(self.pool, self.ledger.projection, ("demo", stream))
        assert self.run_(dropping) == len(self.pending(stream, until=self.followed))
        del self.parked[stream]

    @precondition(lambda self: isinstance(self.log, PostgresLog))
    @rule()
    def rebuild(self) -> None:
        if not self.followed:
            return
        self.run_(rebuild(self.shop).build())
        table: dict[str, list[int]] = {}
        stopped: set[str] = set()
        for stream, _, kind, number in self.events[: self.followed]:
            if kind == "Cursed" and self.ledger.cursed:
                stopped.add(stream)
            if stream not in stopped:
                table.setdefault(stream, []).append(number)
        assert self.rows("public_next") == table

    def rows(self, schema: str = "public") -> dict[str, list[int]]:
        return dict(self.run_(rows_of_ledger(self.pool, schema)))

    @invariant()
    def the_log_is_the_models(self) -> None:
        logged = [(e.stream, e.version, e.type, e.event_id.int) for e in self.logged()]
        assert logged == self.events

    @invariant()
    def every_stream_is_the_models(self) -> None:
        for stream in ("order-a", "order-b", "order-f"):
            read = self.run_(self.log.read("demo", stream, after=1))
            mine = [n for name, v, _, n in self.events if name == stream and v and v > 1]
            assert [event.event_id.int for event in read] == mine

    @invariant()
    def several_streams_are_read_as_each_of_them(self) -> None:
        after = {"order-a": 0, "order-b": 1, "order-f": 0, "order-x": 0}
        read = self.run_(self.log.read_streams("demo", after, also=[UUID(int=100), UUID(int=1)]))
        assert [(event.stream, event.version) for event in read] == [
            (name, version)
            for name, version, _, number in self.events
            if number in (100, 1) or (name in after and version and version > after[name])
        ]

    @invariant()
    def the_read_model_is_the_models(self) -> None:
        assert self.rows() == self.table

    @invariant()
    def what_is_parked_is_the_models(self) -> None:
        listed = self.run_(parking.list_parked(self.pool, "ledger"))
        live = {one.stream: one.pending_events for one in listed if one.projection == "ledger"}
        assert live == {stream: len(self.pending(stream)) for stream in self.parked}


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """A loop for a test that begins many times."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def one_shop(database: str, loop: asyncio.Runner) -> Iterator[Shop]:
    """The service, its pools in that loop."""
    opening = open_shop(database)
    yield loop.run(opening.__aenter__())
    loop.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("kind", ["memory", "postgres"])
def test_the_system_behaves_like_the_model(one_shop: Shop, loop: asyncio.Runner, kind: str) -> None:
    def machine() -> Model:
        loop.run(one_shop.pool.execute(EMPTY))
        one_shop.ledger = Ledger()
        log: Log = MemoryLog() if kind == "memory" else PostgresLog(one_shop.pool)
        return Model(loop.run, one_shop, log)  # type: ignore[arg-type]

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
