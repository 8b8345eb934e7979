"""A log in memory with the behaviour of `PostgresLog`, for tests that need no database."""

import json
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from uuid import UUID

from msgspec.structs import astuple

from libs.clock import Clock, utc_now
from libs.eventsourcing.log import (
    Appended,
    AppendedStreams,
    Entry,
    Expected,
    FactsAppended,
    Metadata,
    NewEvent,
    NewFact,
    RecordedEvent,
    Rejected,
    StreamAppend,
)
from libs.eventsourcing.plan import (
    Append,
    AppendFacts,
    Head,
    Known,
    LogPosition,
    Request,
    Result,
    Row,
    plan,
)
from libs.eventsourcing.schema import MAX_BYTES, MAX_NAME
from libs.eventsourcing.snapshot import Snapshot

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The JSON escape of a NUL character, not that of a backslash followed by u0000."""


class MemoryLog:
    """A log in which every append is a transaction of its own, with a number as its xid."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._events: list[RecordedEvent] = []
        self._by_id: dict[UUID, RecordedEvent] = {}
        self._versions: dict[Head, int] = {}
        self._xid = 1

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: Expected,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> Appended:
        """See `Log.append`."""
        part = StreamAppend(stream=stream, events=events, expected=expected)
        appended = await self.append_streams([part], metadata=metadata, facts=facts)
        return Appended(appended.versions[stream], appended.token)

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        """See `Log.append_streams`."""
        result = self._write(Append(streams, metadata, facts))
        assert isinstance(result, AppendedStreams)
        return result

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        """See `Log.append_facts`."""
        result = self._write(AppendFacts(facts, metadata))
        assert isinstance(result, FactsAppended)
        return result

    async def find(self, event_ids: Sequence[UUID]) -> Mapping[UUID, RecordedEvent]:
        """See `Log.find`."""
        return {known: self._by_id[known] for known in event_ids if known in self._by_id}

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """See `Log.read`."""
        return [
            event
            for event in self._events
            if (event.metadata.tenant, event.stream) == (tenant, stream)
            and event.version is not None
            and event.version > after
        ]

    async def read_streams(
        self, tenant: str, after: Mapping[str, int], *, also: Sequence[UUID] = ()
    ) -> Sequence[RecordedEvent]:
        """See `Log.read_streams`."""
        return [
            event
            for event in self._events
            if event.event_id in also
            or (
                event.metadata.tenant == tenant
                and event.stream in after
                and (event.version or 0) > after[event.stream]
            )
        ]

    def lock_streams(
        self, tenant: str, streams: Collection[str]
    ) -> AbstractAsyncContextManager[None]:
        """See `Log.lock_streams`."""
        return nullcontext()

    async def wait_for_locks(self, tenant: str, streams: Collection[str]) -> None:
        """See `Log.wait_for_locks`."""

    async def read_all(
        self, *, after: int = 0, as_of: Snapshot | None = None, page: int = 1000
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        """See `Log.read_all`."""
        moment = as_of or await self.now()
        seen = [e for e in self._events if e.position > after and moment.sees(e.xid)]
        for start in range(0, len(seen), page):
            yield seen[start : start + page]

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
        """See `Log.entries`."""
        entries = [
            Entry(event.position, event.event_id, event.type, event.recorded_at)
            for event in self._events
            if event.metadata.tenant == tenant
            and (since <= event.occurred_at < until or (after and event.type == also))
            and moment.sees(event.xid)
            and not (after and after.sees(event.xid))
        ]
        return sorted(entries, key=lambda entry: (entry.recorded_at, entry.position))

    async def at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """See `Log.at`."""
        return [self._events[position - 1] for position in positions]

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, limit: int
    ) -> Sequence[RecordedEvent]:
        """See `Log.newest`."""
        newest: list[RecordedEvent] = []
        for stream in streams:
            facts = [
                event
                for event in self._events
                if (event.metadata.tenant, event.stream, event.version) == (tenant, stream, None)
                and event.recorded_at <= known_at
            ]
            newest += sorted(facts, key=lambda event: event.recorded_at, reverse=True)[:limit]
        return newest

    async def now(self) -> Snapshot:
        """See `Log.now`."""
        return Snapshot(self._xid + 1, self._xid + 1)

    def _write(self, request: Request) -> Result:
        events = [*([] if isinstance(request, AppendFacts) else request.events), *request.facts]
        known = {event.event_id: self._by_id.get(event.event_id) for event in events}
        recorded = {event_id: event for event_id, event in known.items() if event}
        planned = plan(
            [request],
            self._versions,
            {
                event_id: Known(
                    (event.metadata.tenant, event.stream), event.version, _log_position(event)
                )
                for event_id, event in recorded.items()
            },
        )
        for row in planned.rows:
            _refuse_what_postgres_cannot_hold(row)
        self._xid += 1
        new = [row.event.event_id for row in planned.rows if self._insert(row)]
        inserted = {event_id: _log_position(self._by_id[event_id]) for event_id in new}
        positions = {event_id: _log_position(event) for event_id, event in recorded.items()}
        (result,) = planned.results(inserted, positions, self._xid + 1)
        if isinstance(result, Exception):
            raise result
        return result

    def _insert(self, row: Row) -> bool:
        event = row.event
        if event.event_id in self._by_id:
            return False
        recorded = RecordedEvent(
            event_id=event.event_id,
            type=event.type,
            schema_version=event.schema_version,
            data=event.data,
            occurred_at=event.occurred_at,
            position=len(self._events) + 1,
            xid=self._xid,
            stream=row.stream,
            version=row.version,
            metadata=row.metadata,
            recorded_at=self._clock(),
        )
        self._events.append(recorded)
        self._by_id[event.event_id] = recorded
        if row.version is not None:
            self._versions[row.metadata.tenant, row.stream] = row.version
        return True


def _log_position(event: RecordedEvent) -> LogPosition:
    return event.xid, event.position


def _refuse_what_postgres_cannot_hold(row: Row) -> None:
    texts = "".join(text for text in (row.stream, *astuple(row.metadata)) if text)
    if _NUL.search(row.event.data) or "\0" in texts:
        raise Rejected("a NUL character cannot be stored")
    names = (row.stream, row.metadata.tenant)
    if not all(0 < len(name) <= MAX_NAME for name in names) or row.metadata.tenant == "*":
        raise Rejected("not a name for a stream or a tenant")
    if len(row.event.data) > MAX_BYTES:
        raise Rejected("too much data for one event")
    try:
        texts.encode()
        json.loads(row.event.data)
    except (ValueError, RecursionError) as error:
        raise Rejected("not Unicode, or not JSON") from error
