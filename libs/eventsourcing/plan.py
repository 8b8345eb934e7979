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
    Appended,
    EventIdReused,
    Expected,
    FactsAppended,
    Metadata,
    NewEvent,
    NewFact,
    VersionConflict,
)
from libs.eventsourcing.tokens import token_of

Head: TypeAlias = tuple[str, str]
"""Tenant and stream."""

LogPosition: TypeAlias = tuple[int, int]
"""The transaction that wrote an event, and the event's position."""


@dataclass(frozen=True, slots=True)
class Append:
    """A request to append events to one stream at a version, and `facts` that must all be new."""

    stream: str
    events: Sequence[NewEvent]
    expected: Expected
    metadata: Metadata
    facts: Sequence[NewFact] = ()

    def __post_init__(self) -> None:
        # Without a row nothing would check the expected version, which other requests may rely on.
        if not self.events:
            raise ValueError("an append needs an event")

    @property
    def head(self) -> Head:
        return self.metadata.tenant, self.stream


@dataclass(frozen=True, slots=True)
class AppendFacts:
    """A request to append the facts that are new."""

    facts: Sequence[NewFact]
    metadata: Metadata


Request: TypeAlias = Append | AppendFacts
Result: TypeAlias = Appended | FactsAppended


@dataclass(frozen=True, slots=True)
class Known:
    """An event id that is already taken. `position` is None if this very group writes it."""

    head: Head
    version: int | None
    position: LogPosition | None


@dataclass(frozen=True, slots=True)
class _PlannedAppend:
    """The result of an append: the version after it, and its last event.

    `position` is None if this group writes the event.
    """

    version: int
    last: UUID
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

    None if a request to a stream expects any version.
    """
    heads: dict[Head, int] = {}
    for request in requests:
        if isinstance(request, Append) and request.head not in heads:
            if isinstance(request.expected, AnyVersion):
                return None
            heads[request.head] = request.expected
    planned = plan(requests, heads, {})
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
    seen = [ids.get(event.event_id) for event in request.events]
    if any(seen):
        return _first_result(request, seen)
    new = [*request.events, *request.facts]
    if len({event.event_id for event in new}) < len(new):
        return EventIdReused("an append names the same event id twice")
    version = versions.get(request.head, 0)
    if not isinstance(request.expected, AnyVersion) and request.expected != version:
        return VersionConflict(f"{request.stream} is at version {version}, not {request.expected}")
    if any(fact.event_id in ids for fact in request.facts):
        return VersionConflict("a fact of the append is in the log already")
    planned.rows += _fact_rows(request.facts, request.metadata)
    planned.bound |= {fact.event_id for fact in request.facts}
    _add_known(request.facts, request.metadata, ids)
    for event in request.events:
        version += 1
        planned.rows.append(Row(event, request.stream, version, request.metadata))
        ids[event.event_id] = Known(request.head, version, None)
    versions[request.head] = version
    return _PlannedAppend(version, request.events[-1].event_id)


def _fact_rows(facts: Sequence[NewFact], metadata: Metadata) -> list[Row]:
    return [Row(fact, fact.stream, None, metadata) for fact in facts]


def _add_known(facts: Sequence[NewFact], metadata: Metadata, ids: dict[UUID, Known]) -> None:
    for fact in facts:
        ids.setdefault(fact.event_id, Known((metadata.tenant, fact.stream), None, None))


def _first_result(request: Append, seen: Sequence[Known | None]) -> _PlannedAppend | Exception:
    first, last = seen[0], seen[-1]
    start = first.version if first else None
    if (
        last is None
        or start is None
        or any(
            known is None or (known.head, known.version) != (request.head, version)
            for version, known in enumerate(seen, start)
        )
    ):
        return EventIdReused(f"an event id given for {request.stream} is already in the log")
    return _PlannedAppend(last.version or 0, request.events[-1].event_id, last.position)


def _result(
    outcome: _PlannedAppend | AppendFacts | Exception,
    inserted: Mapping[UUID, LogPosition],
    unclaimed: set[UUID],
    known: Mapping[UUID, LogPosition],
    later: int,
) -> Result | Exception:
    match outcome:
        case _PlannedAppend():
            position = outcome.position or inserted[outcome.last]
            return Appended(outcome.version, token_of([position], later=later))
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
