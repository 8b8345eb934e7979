"""Executing a command on several streams: load their states, decide, append all or nothing.

Commands of a process on the same stream wait for each other, so that a stream in high demand
costs one attempt a command. The states of streams are cached: usually a command decides on them and
its append is the only round trip, since the append checks their versions. Other processes are met
as conflicts. After some of them a command takes a lock, which every process waits for once in a few
commands on a stream, so that it gets its turn.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast
from uuid import UUID, uuid5

from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.hot_streams import CachedState, StreamsBusy
from libs.eventsourcing.log import (
    NO_STREAM,
    EventIdReused,
    Metadata,
    VersionConflict,
)
from libs.eventsourcing.plan import Head
from libs.eventsourcing.store import EventStore, ExecutedMany

State = TypeVar("State")
Event = TypeVar("Event")

OPTIMISTIC_ATTEMPTS: Final = 2
"""Attempts on the log's state before a command locks its streams."""
LOCKED_ATTEMPTS: Final = 20
PAUSE_SECONDS: Final = 0.002
"""The longest pause before the second attempt; they grow with the attempts."""

Aggregate: TypeAlias = tuple[Decider[Any, Any, Any], object]
"""A decider, of some of the store's events, and the id of one aggregate."""


class States:
    """The states of the streams of a command."""

    def __init__(self, states: Mapping[str, CachedState]) -> None:
        self._states = states

    def of(self, decider: Decider[State, Any, Any], id: object) -> State:
        """The state of an aggregate. Raises KeyError if the command does not name it."""
        return cast(State, self._states[decider.stream(id)].state)

    @property
    def versions(self) -> Mapping[str, int]:
        """The versions of all streams, 0 for one that does not exist."""
        return {stream: cached.version for stream, cached in self._states.items()}


Decide: TypeAlias = Callable[[States], Mapping[str, Sequence[Event]]]
"""The events to append, by stream. Pure: it may be called several times. Raises a Refused."""


async def execute_many(
    store: EventStore[Event],
    aggregates: Sequence[Aggregate],
    decide: Decide[Event],
    *,
    metadata: Metadata,
    expected: Mapping[str, int] | None = None,
    command_id: UUID | None = None,
) -> ExecutedMany[Event]:
    """Append the events that `decide` returns for the states of `aggregates`: all or nothing.

    Only streams that get events are checked: a decision that depends on a stream must append to it.
    Conflicts are retried, a limited number of times. A stream in `expected` must have that version,
    else VersionConflict is raised; `NO_STREAM` spares the reading of a new stream. With a
    `command_id` a repeated command returns the first result, whatever it would decide now; if it
    creates aggregates, derive their ids from the `command_id`.

    Raises what `decide` raises, VersionConflict for `expected`, EventIdReused if the command was to
    other streams, StreamsBusy, LogUnavailable.
    """
    deciders = {decider.stream(key): decider for decider, key in aggregates}
    command = _Command(store, deciders, decide, metadata, expected or {}, command_id)
    async with store.hot.hold(command.heads):
        return await command.execute()


@dataclass(frozen=True, slots=True)
class _Command(Generic[Event]):
    """A command whose streams are held in this process."""

    store: EventStore[Event]
    deciders: Mapping[str, Decider[Any, Any, Any]]
    decide: Decide[Event]
    metadata: Metadata
    expected: Mapping[str, int]
    command_id: UUID | None

    @property
    def heads(self) -> list[Head]:
        return [self._head(stream) for stream in self.deciders]

    async def execute(self) -> ExecutedMany[Event]:
        tenant, streams = self.metadata.tenant, self.deciders.keys()
        if self.store.hot.must_yield(self.heads):
            await self.store.log.wait_for_locks(tenant, streams)
        if (done := await self._try_cached()) is not None:
            return done
        for attempt in range(1, OPTIMISTIC_ATTEMPTS + 1):
            if (done := await self._try()) is not None:
                return done
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311
        async with self.store.log.lock_streams(tenant, streams):
            for _ in range(LOCKED_ATTEMPTS):
                if (done := await self._try()) is not None:
                    return done
        raise StreamsBusy

    async def _try_cached(self) -> ExecutedMany[Event] | None:
        """Execute the command on cached states; None if it must be tried on those of the log.

        A refusal may be due to a state that is out of date, or to the first run of the command.
        """
        states: dict[str, CachedState] = {}
        for stream in self.deciders:
            cached = self._cached(stream)
            if cached is None or cached.version != self.expected.get(stream, cached.version):
                return None
            states[stream] = cached
        try:
            events = self._new_events(states)
            return await self._append(states, events) if events else None
        except (Refused, VersionConflict, EventIdReused):
            return None

    async def _try(self) -> ExecutedMany[Event] | None:
        """Execute the command on the log's states; None after a conflict."""
        states, is_known = await self._load()
        if self.command_id and is_known:
            return await self.store.outcome_of_many(
                self.command_id, self.metadata.tenant, self.deciders
            )
        if moved := {
            stream: f"{stream} is at version {states[stream].version}, not {version}"
            for stream, version in self.expected.items()
            if states[stream].version != version
        }:
            raise VersionConflict(", ".join(moved.values()), moved)
        if not (events := self._new_events(states)):
            return ExecutedMany({}, States(states).versions, None)
        try:
            return await self._append(states, events)
        except (VersionConflict, EventIdReused):
            # The ids may be those of the same command, decided on another history meanwhile.
            return None

    async def _load(self) -> tuple[Mapping[str, CachedState], bool]:
        """The states by the log, and whether the command was executed before: at one moment."""
        states = {
            stream: self.store.hot.state(decider, self._head(stream))
            or CachedState(decider.initial, 0)
            for stream, decider in self.deciders.items()
        }
        after = {stream: cached.version for stream, cached in states.items()}
        first = [uuid5(self.command_id, "0")] if self.command_id else []
        recorded = await self.store.log.read_streams(self.metadata.tenant, after, also=first)
        is_known = any(event.event_id in first for event in recorded)
        later = defaultdict[str, list[Event]](list)
        for event in recorded:
            # Not the first event of the command, which may be on any stream.
            if event.metadata.tenant == self.metadata.tenant and (event.version or 0) > after.get(
                event.stream, math.inf
            ):
                later[event.stream].append(self.store.decode(event))
        for stream, new in later.items():
            states[stream] = self._advance(stream, states[stream], new)
        return states, is_known

    async def _append(
        self, states: Mapping[str, CachedState], events: Mapping[str, Sequence[Event]]
    ) -> ExecutedMany[Event]:
        before = {stream: cached.version for stream, cached in states.items()}
        after = {stream: before[stream] + len(new) for stream, new in events.items()}
        appended = await self.store.append_streams(
            events, expected=before, metadata=self.metadata, command_id=self.command_id
        )
        if appended.versions != after:
            raise VersionConflict("the same command was executed on another history", after)
        for stream, new in events.items():
            # Most new streams are not used again soon.
            if before[stream]:
                self._advance(stream, states[stream], new)
        return ExecutedMany(events, {**before, **after}, appended.token)

    def _new_events(self, states: Mapping[str, CachedState]) -> Mapping[str, Sequence[Event]]:
        return {stream: new for stream, new in self.decide(States(states)).items() if new}

    def _advance(self, stream: str, cached: CachedState, events: Sequence[Event]) -> CachedState:
        """The state after more events, which is cached."""
        decider, state, version = self.deciders[stream], cached.state, cached.version
        for event in events:
            state, version = decider.evolve(state, event), version + 1
        advanced = CachedState(state, version)
        self.store.hot.remember(decider, self._head(stream), advanced)
        return advanced

    def _cached(self, stream: str) -> CachedState | None:
        decider = self.deciders[stream]
        if self.expected.get(stream) == NO_STREAM:
            return CachedState(decider.initial, NO_STREAM)
        return self.store.hot.state(decider, self._head(stream))

    def _head(self, stream: str) -> Head:
        return self.metadata.tenant, stream
