"""Planning a group of appends: repetitions, conflicts, and the rows to insert.

Pure, and shared by all logs, so that they follow the same rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

import msgspec

from libs.eventsourcing.log import (
    AnyVersion,
    AppendedStreams,
    EventIdReused,
    FactsAppended,
    Metadata,
    NewEvent,
    NewFact,
    StreamAppend,
    VersionConflict,
)
from libs.eventsourcing.tokens import token_of

Head: TypeAlias = tuple[str, str]
"""Tenant and stream."""

LogPosition: TypeAlias = tuple[int, int]
"""The transaction that wrote an event, and the event's position."""


@dataclass(slots=True)
class Append:
    """A request to append to streams, each at its version, and `facts` that must all be new."""

    streams: Sequence[StreamAppend]
    metadata: Metadata
    facts: Sequence[NewFact] = ()
    heads: Sequence[Head] = field(init=False)
    events: Sequence[NewEvent] = field(init=False)
    """Of all streams, in their order."""

    def __post_init__(self) -> None:
        tenant, streams = self.metadata.tenant, self.streams
        self.heads = [(tenant, part.stream) for part in streams]
        # Without a row nothing would check the expected version, which other requests may rely on.
        if not streams or not all(part.events for part in streams):
            raise ValueError("an append needs an event")
        if len(streams) == 1:
            self.events = streams[0].events
            return
        self.events = [event for part in streams for event in part.events]
        if len(set(self.heads)) < len(streams):
            raise ValueError("an append names the same stream twice")


@dataclass(frozen=True, slots=True)
class AppendFacts:
    """A request to append the facts that are new."""

    facts: Sequence[NewFact]
    metadata: Metadata


Request: TypeAlias = Append | AppendFacts
Result: TypeAlias = AppendedStreams | FactsAppended


@dataclass(frozen=True, slots=True)
class Known:
    """An event id that is already taken. `position` is None if this very group writes it."""

    head: Head
    version: int | None
    position: LogPosition | None


@dataclass(frozen=True, slots=True)
class _PlannedAppend:
    """The result of an append: the versions after it, and the last event of each stream.

    `position` is that of the very last of them, or None if this group writes them.
    """

    versions: Mapping[str, int]
    last: Sequence[UUID]
    position: LogPosition | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """One event to insert."""

    event: NewEvent
    stream: str
    version: int | None
    metadata: Metadata

    @property
    def sort_key(self) -> tuple[bool, str, str, int, int]:
        """The order in which all writers insert, so that they do not deadlock."""
        by_stream = ("", "") if self.version is None else (self.metadata.tenant, self.stream)
        return self.version is not None, *by_stream, self.version or 0, self.event.event_id.int


@dataclass(slots=True)
class Plan:
    """The rows of a group, and the outcome of each request once they are inserted."""

    rows: list[Row] = field(default_factory=list)
    outcomes: list["_PlannedAppend | AppendFacts | Exception"] = field(default_factory=list)
    bound: set[UUID] = field(default_factory=set)
    """The ids of facts that are appended together with events or not at all."""
    assumed_versions: Mapping[Head, int] = field(default_factory=dict)
    """Stream versions that were not read; the plan holds only if they exist."""

    @property
    def written(self) -> set[Head]:
        """The streams that get new versions."""
        return {(row.metadata.tenant, row.stream) for row in self.rows if row.version is not None}

    @property
    def required(self) -> set[UUID]:
        """The events that must all be inserted for the plan to hold."""
        return {row.event.event_id for row in self.rows if row.version is not None} | self.bound

    def results(
        self,
        inserted: Mapping[UUID, LogPosition],
        known: Mapping[UUID, LogPosition],
        later: int = 0,
    ) -> list[Result | Exception]:
        """The results, given the positions of the inserted events and of the known facts.

        `later` is a transaction later than those that wrote the known facts.
        """
        unclaimed = inserted.keys() - self.bound
        return [_result(outcome, inserted, unclaimed, known, later) for outcome in self.outcomes]

    @property
    def fact_ids(self) -> set[UUID]:
        """The ids of all planned facts, new or known."""
        return {row.event.event_id for row in self.rows if row.version is None}


def optimistic_plan(requests: Sequence[Request]) -> Plan | None:
    """The plan if streams have the expected versions and no id is known, which is nearly always so.

    None if a request to a stream expects any version, or is the only one to a stream and fails:
    without a row nothing checks the assumed version, by which others may be refused.
    """
    heads: dict[Head, int] = {}
    for request in requests:
        if isinstance(request, AppendFacts):
            continue
        for head, part in zip(request.heads, request.streams, strict=True):
            if head not in heads:
                if isinstance(part.expected, AnyVersion):
                    return None
                heads[head] = part.expected
    planned = plan(requests, heads, {})
    failed = any(isinstance(outcome, Exception) for outcome in planned.outcomes)
    if failed and not heads.keys() <= planned.written:
        return None
    planned.assumed_versions = {head: version for head, version in heads.items() if version}
    return planned


def plan(
    requests: Sequence[Request], heads: Mapping[Head, int], known: Mapping[UUID, Known]
) -> Plan:
    """Plan the requests in order; each sees what those before it will write."""
    planned, versions, ids = Plan(), dict(heads), dict(known)
    # The database skips known facts; only versioned events need the ids here.
    only_facts = all(isinstance(request, AppendFacts) for request in requests)
    for request in requests:
        if isinstance(request, AppendFacts):
            unbound = [fact for fact in request.facts if fact.event_id not in planned.bound]
            planned.rows += _fact_rows(unbound, request.metadata)
            if not only_facts:
                _add_known(unbound, request.metadata, ids)
            planned.outcomes.append(request)
        else:
            planned.outcomes.append(_plan_append(request, versions, ids, planned))
    planned.rows.sort(key=_fact_key if only_facts else attrgetter("sort_key"))
    return planned


def _fact_key(row: Row) -> int:
    """The order of `Row.sort_key`, if all rows are facts."""
    return row.event.event_id.int


def _plan_append(
    request: Append, versions: dict[Head, int], ids: dict[UUID, Known], planned: Plan
) -> _PlannedAppend | Exception:
    if any(event.event_id in ids for event in request.events):
        return _first_result(request, ids)
    new = [*request.events, *request.facts]
    if len({event.event_id for event in new}) < len(new):
        return EventIdReused("an append names the same event id twice")
    if moved := {
        part.stream: f"{part.stream} is at version {versions.get(head, 0)}, not {part.expected}"
        for head, part in zip(request.heads, request.streams, strict=True)
        if part.expected not in (versions.get(head, 0), AnyVersion.ANY)
    }:
        return VersionConflict(", ".join(moved.values()), moved)
    if any(fact.event_id in ids for fact in request.facts):
        return VersionConflict("a fact of the append is in the log already")
    planned.rows += _fact_rows(request.facts, request.metadata)
    planned.bound |= {fact.event_id for fact in request.facts}
    _add_known(request.facts, request.metadata, ids)
    after: dict[str, int] = {}
    for head, part in zip(request.heads, request.streams, strict=True):
        version = versions.get(head, 0)
        for event in part.events:
            version += 1
            planned.rows.append(Row(event, part.stream, version, request.metadata))
            ids[event.event_id] = Known(head, version, None)
        versions[head] = after[part.stream] = version
    return _PlannedAppend(after, [part.events[-1].event_id for part in request.streams])


def _fact_rows(facts: Sequence[NewFact], metadata: Metadata) -> list[Row]:
    return [Row(fact, fact.stream, None, metadata) for fact in facts]


def _add_known(facts: Sequence[NewFact], metadata: Metadata, ids: dict[UUID, Known]) -> None:
    for fact in facts:
        ids.setdefault(fact.event_id, Known((metadata.tenant, fact.stream), None, None))


def _first_result(request: Append, ids: Mapping[UUID, Known]) -> _PlannedAppend | Exception:
    versions: dict[str, int] = {}
    positions: list[LogPosition | None] = []
    for head, part in zip(request.heads, request.streams, strict=True):
        seen = [ids.get(event.event_id) for event in part.events]
        start = seen[0].version if seen[0] else None
        if start is None or any(
            known is None or (known.head, known.version) != (head, version)
            for version, known in enumerate(seen, start)
        ):
            return EventIdReused(f"an event id given for {part.stream} is already in the log")
        versions[part.stream] = start + len(seen) - 1
        positions += [known.position for known in seen if known]
    last = [part.events[-1].event_id for part in request.streams]
    recorded = [position for position in positions if position]
    return _PlannedAppend(versions, last, max(recorded, default=None))


def _result(
    outcome: _PlannedAppend | AppendFacts | Exception,
    inserted: Mapping[UUID, LogPosition],
    unclaimed: set[UUID],
    known: Mapping[UUID, LogPosition],
    later: int,
) -> Result | Exception:
    match outcome:
        case _PlannedAppend():
            position = outcome.position or max([inserted[last] for last in outcome.last])
            return AppendedStreams(outcome.versions, token_of([position], later=later))
        case AppendFacts():
            ids = {fact.event_id for fact in outcome.facts}
            new = unclaimed & ids
            unclaimed -= new
            return FactsAppended(frozenset(new), _token(ids, inserted, known, later))
        case Exception():
            return outcome


def _token(
    ids: set[UUID],
    inserted: Mapping[UUID, LogPosition],
    known: Mapping[UUID, LogPosition],
    later: int,
) -> str:
    """The token of facts.

    A transaction that wrote some of them ended after those that wrote the others, since it skipped
    what they had written. So only it is named, with the last position of all facts.
    """
    written = [inserted.get(event_id) for event_id in ids]
    positions = [position for position in written if position is not None]
    if len(positions) < len(written):
        own = max(positions, default=None)
        skipped = [known[event_id] for event_id in ids if event_id not in inserted]
        positions += skipped if own is None else [(own[0], position) for _, position in skipped]
    return token_of(positions, later=later)
