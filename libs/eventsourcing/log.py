"""What a log promises: append at a version, append facts, find, read one stream, read all.

A log knows names and bytes, no event classes; `libs.eventsourcing.store` puts the types on.
`postgres` and `memory` keep the same promises and pass the same suite.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

import msgspec

from libs.errors import Unavailable, Unfit
from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tokens import token_of


class VersionConflict(Exception):
    """Somebody appended to the stream since it was read. Nothing was written; read and retry."""


class EventIdReused(Exception):
    """An event id is already in the log with another append. Nothing was written."""


class Rejected(Unfit):
    """The log cannot hold this: text Postgres does not take, a name or data too long."""


class LogUnavailable(Unavailable):
    """The database did not answer; whether it wrote is unknown. The same ids may be sent again."""


class AnyVersion(Enum):
    """The expectation of who does not care what was appended before."""

    ANY = "any"


ANY: Final = AnyVersion.ANY
NO_STREAM: Final = 0
Expected: TypeAlias = int | AnyVersion
"""The version a stream must have: exactly so many events, `NO_STREAM`, or `ANY`."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """On whose behalf something is appended, and what led to it."""

    tenant: str
    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


# Structs, not dataclasses: one is made for every event on its way, and they are made ten times as
# fast.
class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event on its way into a log. `data` is one JSON object in UTF-8."""

    event_id: UUID
    type: str
    schema_version: int
    data: bytes
    occurred_at: datetime


class NewFact(NewEvent, frozen=True, kw_only=True, gc=False):
    """An event without a version: it stands beside the others of its stream, in no order."""

    stream: str


class RecordedEvent(NewEvent, frozen=True, kw_only=True, gc=False):
    """An event in the log. `position` is unique, and rises within a stream; `xid` wrote it."""

    position: int
    xid: int
    stream: str
    version: int | None
    metadata: Metadata
    recorded_at: datetime

    @property
    def token(self) -> str:
        """The consistency token of this event and of what its transaction wrote before it."""
        return token_of([(self.xid, self.position)], later=self.xid)


@dataclass(frozen=True, slots=True)
class Appended:
    """The stream's version after the append, and the token that says "at least this much".

    A token names the transactions that wrote what was asked for, each with the last position of
    it (see `libs.eventsourcing.tokens`); to clients it is opaque.
    """

    version: int
    token: str


@dataclass(frozen=True, slots=True)
class FactsAppended:
    """Which facts were new (the others were known), and the token of the append."""

    new: frozenset[UUID]
    token: str


class Entry(NamedTuple):
    """Which event is where in the log, and since when."""

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

        The facts stand or fall with the events: if anyone told one of them before, that is a
        VersionConflict. Repeating an append with the same event ids answers the first result,
        whatever `expected` says. Raises VersionConflict, EventIdReused, Rejected, LogUnavailable,
        and ValueError if there are no events.
        """
        ...

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        """Append those of `facts` whose ids the log does not hold; safe to repeat.

        A fact repeated within `facts` is new once. Raises Rejected, LogUnavailable.
        """
        ...

    async def find(self, event_ids: Sequence[UUID]) -> Mapping[UUID, RecordedEvent]:
        """Those of the events that are in the log."""
        ...

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """The versioned events of a stream behind version `after`, oldest first."""
        ...

    def read_all(
        self, *, after: int = 0, as_of: Snapshot | None = None, page: int = 1000
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        """Pages of all events behind position `after`, by position.

        Reads the log as it was at `as_of`, by default at the first page: complete, repeatable,
        and without a long transaction.
        """
        ...

    async def entries(
        self, tenant: str, since: datetime, until: datetime, *, moment: Snapshot
    ) -> Sequence[Entry]:
        """The tenant's events that occurred from `since` until just before `until`, as far as
        `moment` sees them, by the time they were recorded.
        """
        ...

    async def later_entries(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        *,
        after: Snapshot,
        moment: Snapshot,
        also: str,
    ) -> Sequence[Entry]:
        """The same of what `after` did not see yet, and events of the type `also` of any time."""
        ...

    async def at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """The events at these positions, in this order; each must be there."""
        ...

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, each: int
    ) -> Sequence[RecordedEvent]:
        """Of each stream the `each` facts recorded last before or at `known_at`, newest first."""
        ...

    async def now(self) -> Snapshot:
        """The present moment of the log, for `read_all`."""
        ...
