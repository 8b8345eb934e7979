"""The interface of a log: append at versions, append facts, find, read a stream, read all.

A log stores names and bytes; `libs.eventsourcing.store` adds the event classes. The implementations
`postgres` and `memory` pass the same test suite.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

import msgspec

from contracts.envelope import Envelope
from libs.errors import Unavailable, Unfit
from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tokens import token_of


class VersionConflict(Exception):
    """A stream was appended to since it was read. Nothing was written; read again and retry.

    `streams` are the names of the streams that have another version than expected, if that is why.
    """

    def __init__(self, message: str = "", streams: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.streams = frozenset(streams)


class EventIdReused(Exception):
    """An event id is already in the log from another append. Nothing was written."""


class Rejected(Unfit):
    """The log cannot hold this: text Postgres does not take, a name or data too long."""


class LogUnavailable(Unavailable):
    """The database did not answer: whether it wrote is unknown. Safe to retry with the same ids."""


class AnyVersion(Enum):
    """The expectation of an append that may follow any version."""

    ANY = "any"


ANY: Final = AnyVersion.ANY
NO_STREAM: Final = 0
Expected: TypeAlias = int | AnyVersion
"""The version that a stream must have: its number of events, `NO_STREAM`, or `ANY`."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who appends, for which tenant, and what caused it."""

    tenant: str
    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


def caused_by(envelope: Envelope[Any]) -> Metadata:
    """The metadata of what is appended because of an event, in its tenant and for its actor."""
    return Metadata(
        tenant=envelope.tenant,
        actor=envelope.actor,
        correlation_id=envelope.correlation_id,
        causation_id=str(envelope.event_id),
        traceparent=envelope.traceparent,
    )


# Structs, not dataclasses, because they are created ten times as fast, one for every event.
class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event to append. `data` is one JSON object in UTF-8."""

    event_id: UUID
    type: str
    schema_version: int
    data: bytes
    occurred_at: datetime


class NewFact(NewEvent, frozen=True, kw_only=True, gc=False):
    """A fact to append: an event without a version, which has no order within its stream."""

    stream: str


class StreamAppend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The events to append to one stream, at least one, and the version that it must have."""

    stream: str
    events: Sequence[NewEvent]
    expected: Expected


class RecordedEvent(NewEvent, frozen=True, kw_only=True, gc=False):
    """An event in the log. `position` is unique and ascends within a stream.

    `xid` is the transaction that wrote the event.
    """

    position: int
    xid: int
    stream: str
    version: int | None
    metadata: Metadata
    recorded_at: datetime

    @property
    def token(self) -> str:
        """The consistency token of this event and of the earlier writes of its transaction."""
        return token_of([(self.xid, self.position)], later=self.xid)


@dataclass(frozen=True, slots=True)
class Appended:
    """The stream's version after the append, and its consistency token.

    A token names the transactions that wrote the events, each with its last position (see
    `libs.eventsourcing.tokens`). It is opaque to clients.
    """

    version: int
    token: str


@dataclass(frozen=True, slots=True)
class AppendedStreams:
    """The version of each stream after an append to several, and the token of all of it."""

    versions: Mapping[str, int]
    token: str


@dataclass(frozen=True, slots=True)
class FactsAppended:
    """The ids of the facts that were new, and the consistency token of all of them."""

    new: frozenset[UUID]
    token: str


class Entry(NamedTuple):
    """The position of an event in the log, and when it was recorded."""

    position: int
    event_id: UUID
    type: str
    recorded_at: datetime


class Log(Protocol):
    """An append-only log of one service."""

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: Expected,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> Appended:
        """Append all of `events` and `facts` or none of them.

        A fact that is already in the log is a VersionConflict. Repeating an append with the same
        event ids returns the first result, whatever `expected` is. Raises VersionConflict,
        EventIdReused, Rejected, LogUnavailable, and ValueError if there are no events.
        """
        ...

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        """Append to several streams of a tenant, each at its version: all of it or nothing.

        The positions of the events ascend by stream name. Otherwise like `append`: a
        VersionConflict names the streams that have another version, and repeating the append
        returns the first result. A stream that is not named is not checked. Raises ValueError also
        if a stream is named twice.
        """
        ...

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        """Append the facts whose ids are not in the log. Safe to repeat.

        A fact that occurs twice in `facts` is appended once. Raises Rejected, LogUnavailable.
        """
        ...

    async def find(self, event_ids: Sequence[UUID]) -> Mapping[UUID, RecordedEvent]:
        """The events that are in the log, by id."""
        ...

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """The versioned events of a stream after version `after`, oldest first."""
        ...

    async def read_streams(
        self, tenant: str, after: Mapping[str, int], *, also: Sequence[UUID] = ()
    ) -> Sequence[RecordedEvent]:
        """The versioned events of several streams, each after a version, and the events with the
        ids `also`: as of one moment, by position, each once.
        """
        ...

    def lock_streams(
        self, tenant: str, streams: Collection[str]
    ) -> AbstractAsyncContextManager[None]:
        """A lock of these streams, for a writer that had several conflicts.

        Appends do not wait for it. Raises Unavailable after the database's lock timeout.
        """
        ...

    async def wait_for_locks(self, tenant: str, streams: Collection[str]) -> None:
        """Wait until all that hold locks of these streams, or have waited for them, are done.

        Raises Unavailable after the database's lock timeout.
        """
        ...

    def read_all(
        self, *, after: int = 0, as_of: Snapshot | None = None, page: int = 1000
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        """Pages of all events after position `after`, by position.

        Reads the log as of `as_of`, by default as of the first page: complete, repeatable, and
        without a long transaction.
        """
        ...

    async def entries(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        *,
        moment: Snapshot,
        after: Snapshot | None = None,
        also: str = "",
    ) -> Sequence[Entry]:
        """The tenant's events that occurred from `since` until before `until`, as `moment` sees
        them, by the time they were recorded.

        With `after` those that it does not see; then the events of type `also` are of any time.
        """
        ...

    async def at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """The events at these positions, in this order; all must exist."""
        ...

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, limit: int
    ) -> Sequence[RecordedEvent]:
        """The `limit` facts of each stream recorded last before or at `known_at`, newest first."""
        ...

    async def now(self) -> Snapshot:
        """The present snapshot, for `read_all`."""
        ...
