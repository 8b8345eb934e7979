"""The event store: a log whose events are the dataclasses of a contract."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final, Generic, TypeVar
from uuid import UUID, uuid5

import uuid_utils.compat

from contracts.envelope import Envelope
from libs.clock import Clock, utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.hot_streams import HotStreams
from libs.eventsourcing.log import (
    Appended,
    AppendedStreams,
    EventIdReused,
    Expected,
    FactsAppended,
    Log,
    Metadata,
    NewEvent,
    NewFact,
    RecordedEvent,
    StreamAppend,
)
from libs.eventsourcing.tokens import collect

Event = TypeVar("Event")

_OUTCOME_EVENTS: Final = 32
"""Events of a command that are looked up in one query."""


def new_event_id() -> UUID:
    """A new UUIDv7: random but ascending with time, so that inserts stay in few index pages."""
    return uuid_utils.compat.uuid7()


@dataclass(frozen=True, slots=True)
class History(Generic[Event]):
    """The events of a stream, and the version to expect when appending."""

    events: tuple[Event, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Executed(Generic[Event]):
    """The events of a command, the stream's version after them, and their consistency token.

    The token is None if nothing was appended.
    """

    events: list[Event]
    version: int
    token: str | None


@dataclass(frozen=True, slots=True)
class ExecutedMany(Generic[Event]):
    """The events of a command by stream, the versions of its streams after it, and the token.

    The token is None if nothing was appended.
    """

    events: Mapping[str, Sequence[Event]]
    versions: Mapping[str, int]
    token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact(Generic[Event]):
    """An event with an id of its own and no version. Recording it again changes nothing."""

    event_id: UUID
    stream: str
    event: Event
    occurred_at: datetime


class EventStore(Generic[Event]):
    """A service's log with the codec of its events.

    The consistency tokens of appends are collected, see `tokens.collecting`.
    """

    def __init__(self, log: Log, codec: Codec[Event], *, clock: Clock = utc_now) -> None:
        self.log = log
        self.codec = codec
        self.hot = HotStreams()
        self._clock = clock

    async def read(self, tenant: str, stream: str) -> History[Event]:
        """The versioned events of a stream, oldest first; none at version 0 if it is unknown."""
        recorded = await self.log.read(tenant, stream)
        version = recorded[-1].version if recorded else None
        return History(tuple(map(self.decode, recorded)), version or 0)

    async def append(
        self,
        stream: str,
        events: Sequence[Event],
        *,
        expected: Expected,
        metadata: Metadata,
        command_id: UUID | None = None,
        facts: Sequence[Fact[Event]] = (),
    ) -> Appended:
        """Append all events and facts or nothing; see `Log.append` for what it raises.

        With a `command_id` the event ids are derived from it, so a repeat returns the first result.
        """
        now = self._clock()
        new = [self._new(event, now, self._id(command_id, n)) for n, event in enumerate(events)]
        bound = [self._new_fact(fact) for fact in facts]
        appended = await self.log.append(
            stream, new, expected=expected, metadata=metadata, facts=bound
        )
        collect(appended.token)
        return appended

    async def append_streams(
        self,
        events: Mapping[str, Sequence[Event]],
        *,
        expected: Mapping[str, Expected],
        metadata: Metadata,
        command_id: UUID | None = None,
        facts: Sequence[Fact[Event]] = (),
    ) -> AppendedStreams:
        """Append to all streams or to none; see `Log.append_streams` for what it raises.

        `expected` holds the version of every stream. With a `command_id` the event ids are derived
        from it and the order of the streams' names, so a repeat returns the first result.
        """
        now, numbers = self._clock(), count()
        streams = [
            StreamAppend(
                stream=stream,
                events=[
                    self._new(event, now, self._id(command_id, next(numbers)))
                    for event in events[stream]
                ],
                expected=expected[stream],
            )
            for stream in sorted(events)
        ]
        bound = [self._new_fact(fact) for fact in facts]
        appended = await self.log.append_streams(streams, metadata=metadata, facts=bound)
        collect(appended.token)
        return appended

    async def record(self, facts: Sequence[Fact[Event]], *, metadata: Metadata) -> FactsAppended:
        """Append the facts that are new; see `Log.append_facts`."""
        return await self.record_encoded([*map(self._new_fact, facts)], metadata=metadata)

    async def record_encoded(
        self, facts: Sequence[NewFact], *, metadata: Metadata
    ) -> FactsAppended:
        """The same for facts whose data is encoded as by `codec`."""
        appended = await self.log.append_facts(facts, metadata=metadata)
        collect(appended.token)
        return appended

    async def outcome_of(
        self, command_id: UUID, tenant: str, stream: str
    ) -> Executed[Event] | None:
        """The outcome of an earlier append to `stream` with this `command_id`, if there was one.

        Raises EventIdReused if it was to another stream.
        """
        first = (await self.log.find([uuid5(command_id, "0")])).get(uuid5(command_id, "0"))
        if first is None or first.version is None:
            return None
        if (first.metadata.tenant, first.stream) != (tenant, stream):
            raise EventIdReused(f"command {command_id} was given to another stream")
        later = await self.log.read(tenant, stream, after=first.version - 1)
        ours = [e for n, e in enumerate(later) if e.event_id == uuid5(command_id, str(n))]
        version = first.version + len(ours) - 1
        collect(ours[-1].token)
        return Executed([self.decode(recorded) for recorded in ours], version, ours[-1].token)

    async def outcome_of_many(
        self, command_id: UUID, tenant: str, streams: Collection[str]
    ) -> ExecutedMany[Event] | None:
        """The whole outcome of an earlier `append_streams` with this `command_id`.

        Raises EventIdReused if it was to none of `streams`.
        """
        recorded: list[RecordedEvent] = []
        while len(recorded) % _OUTCOME_EVENTS == 0:
            numbers = range(len(recorded), len(recorded) + _OUTCOME_EVENTS)
            ids = [uuid5(command_id, str(number)) for number in numbers]
            found = await self.log.find(ids)
            recorded += [found[event_id] for event_id in ids if event_id in found]
            if not found:
                break
        if not recorded:
            return None
        last, events = recorded[-1], defaultdict[str, list[Event]](list)
        if last.metadata.tenant != tenant or not any(one.stream in streams for one in recorded):
            raise EventIdReused(f"command {command_id} was given to other streams")
        for one in recorded:
            events[one.stream].append(self.decode(one))
        collect(last.token)
        return ExecutedMany(
            dict(events), {one.stream: one.version or 0 for one in recorded}, last.token
        )

    def decode(self, recorded: RecordedEvent) -> Event:
        """The event as its class. Raises UnknownEvent, UndecodableEvent."""
        return self.codec.decode(recorded.type, recorded.schema_version, recorded.data)

    def _id(self, command_id: UUID | None, number: int) -> UUID:
        return uuid5(command_id, str(number)) if command_id else new_event_id()

    def _new(self, event: Event, now: datetime, event_id: UUID) -> NewEvent:
        name, version, data = self.codec.encode(event)
        return NewEvent(
            event_id=event_id, type=name, schema_version=version, data=data, occurred_at=now
        )

    def _new_fact(self, fact: Fact[Event]) -> NewFact:
        name, version, data = self.codec.encode(fact.event)
        return NewFact(
            event_id=fact.event_id,
            type=name,
            schema_version=version,
            data=data,
            occurred_at=fact.occurred_at,
            stream=fact.stream,
        )


def envelope(recorded: RecordedEvent, event: Event) -> Envelope[Event]:
    """The envelope of a recorded event, as projections get it."""
    metadata = recorded.metadata
    # In the order of the fields, because by name it takes twice as long.
    return Envelope(
        recorded.event_id,
        metadata.tenant,
        recorded.stream,
        recorded.version,
        recorded.occurred_at,
        recorded.recorded_at,
        metadata.correlation_id,
        metadata.causation_id,
        metadata.actor,
        metadata.traceparent,
        event,
    )
