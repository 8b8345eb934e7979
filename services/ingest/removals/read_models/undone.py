"""What was imported and undone is left out of every read model.

A projection never sees it, so a rebuild makes the tables as they would be without that import.
They are rebuilt when it is undone: sums and turns cannot be taken apart again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias
from uuid import UUID

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved, ScanRecorded
from libs.projections.projection import Connection, Projection
from services.ingest.scans.domain import identity

Events: TypeAlias = Sequence[Envelope[IngestEvent]]

_IMPORTED: Final = """
SELECT event_id, metadata->>'correlation_id' AS run FROM events
WHERE event_id = ANY($1) AND metadata->>'actor' = $2
"""


def without_undone(projection: Projection[IngestEvent]) -> Projection[IngestEvent]:
    """The projection, of what was not undone."""
    return replace(projection, select=remaining)


async def remaining(connection: Connection, events: Events) -> Events:
    """The events without scans of undone imports, and without removals of such scans."""
    removals = [event for event in events if type(event.event) is ItemRemoved]
    if not removals and all(event.actor != identity.IMPORT for event in events):
        return events
    runs = runs_of(events)
    gone = await _undone(connection, runs)
    taken = await _of_undone(connection, removals)
    return [
        event
        for event in events
        if event.event_id not in taken
        and not (_is_imported(event) and (event.tenant, _run(event)) in gone)
    ]


def runs_of(events: Events) -> set[tuple[str, str]]:
    """The imports that recorded some of the events, by tenant and run."""
    return {(event.tenant, _run(event)) for event in events if _is_imported(event)}


async def any_undone(connection: Connection, runs: Iterable[tuple[str, str]]) -> bool:
    """Whether one of the imports was undone."""
    return bool(await _undone(connection, runs))


def _is_imported(event: Envelope[IngestEvent]) -> bool:
    return event.actor == identity.IMPORT and isinstance(event.event, ScanRecorded)


def _run(event: Envelope[IngestEvent]) -> str:
    return event.correlation_id or ""


async def _undone(connection: Connection, runs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the imports, by tenant and run, that were undone."""
    ids = {identity.undone_import(identity.namespace(each[0]), each[1]): each for each in runs}
    if not ids:
        return set()
    found = await connection.fetch("SELECT event_id FROM events WHERE event_id = ANY($1)", [*ids])
    return {ids[row["event_id"]] for row in found}


async def _of_undone(connection: Connection, removals: Events) -> set[UUID]:
    """The ids of those removals whose scan was recorded by an import that was undone."""
    taken: set[UUID] = set()
    at = {event.event_id: (event.tenant, _first(event)) for event in removals}
    while at:
        rows = await connection.fetch(_IMPORTED, [each[1] for each in at.values()], identity.IMPORT)
        runs = {row["event_id"]: row["run"] or "" for row in rows}
        gone = await _undone(
            connection, [(tenant, runs[one]) for tenant, one in at.values() if one in runs]
        )
        later = {}
        for event_id, (tenant, recording) in at.items():
            if recording in runs and (tenant, runs[recording]) in gone:
                if identity.removal_of(recording) == event_id:
                    taken.add(event_id)
                else:
                    following = identity.next_recording(recording, runs[recording])
                    later[event_id] = (tenant, following)
        at = later
    return taken


def _first(event: Envelope[IngestEvent]) -> UUID:
    assert isinstance(event.event, ItemRemoved)  # noqa: S101 -- narrows for the type checker
    return identity.scan_event(identity.namespace(event.tenant), event.event.scan.scan_id)
