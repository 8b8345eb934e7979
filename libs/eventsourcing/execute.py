"""Executing a command: read the stream, decide, append."""

from typing import TypeVar
from uuid import UUID

from libs.eventsourcing.decider import Decider
from libs.eventsourcing.log import Metadata, VersionConflict
from libs.eventsourcing.store import EventStore, Executed

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

ATTEMPTS = 5


async def execute(
    store: EventStore[Event],
    aggregate: Decider[State, Command, Event],
    id: object,
    command: Command,
    *,
    metadata: Metadata,
    expected: int | None = None,
    command_id: UUID | None = None,
) -> Executed[Event]:
    """Append the events that the aggregate decides on.

    Without `expected`, a VersionConflict is retried on the new history, up to `ATTEMPTS` times.
    With it, the stream must have that version, and VersionConflict is raised. With a `command_id`,
    a repeated command returns the first result. Raises Refused, VersionConflict, LogUnavailable.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _once(store, aggregate, id, command, metadata, expected, command_id)
        except VersionConflict:
            if expected is not None or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _once(
    store: EventStore[Event],
    aggregate: Decider[State, Command, Event],
    id: object,
    command: Command,
    metadata: Metadata,
    expected: int | None,
    command_id: UUID | None,
) -> Executed[Event]:
    stream = aggregate.stream(id)
    # Read the history before looking for the first result: if that is not there yet, then it is not
    # in the history either.
    history = await store.read(metadata.tenant, stream)
    if command_id and (first := await store.outcome_of(command_id, metadata.tenant, stream)):
        return first
    if expected is not None and expected != history.version:
        raise VersionConflict(f"{stream} is at version {history.version}, not {expected}")
    events = aggregate.decide(aggregate.state_after(history.events), command)
    if not events:
        return Executed([], history.version, None)
    appended = await store.append(
        stream, events, expected=history.version, metadata=metadata, command_id=command_id
    )
    if appended.version != history.version + len(events):
        # The same command was sent twice, and the other one was decided on a later history.
        raise VersionConflict(f"{stream} was at another version")
    return Executed(events, appended.version, appended.token)
