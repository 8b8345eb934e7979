"""Leaves the scans of undone imports out of every read model.

A projection never receives them, so a rebuild gives the tables as they would be without the
import. Undoing an import needs a rebuild, because sums and box transitions cannot be subtracted.
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

SCAN_READ_MODELS: Final = ("activity", "presence", "scan_log", "box", "removal")
"""The read models that change when an import is undone."""

_IMPORTED: Final = """
SELECT event_id, metadata->>'correlation_id' AS run FROM events
WHERE event_id = ANY($1) AND metadata->>'actor' = $2
"""


def without_undone(projection: Projection[IngestEvent]) -> Projection[IngestEvent]:
    """The projection without the events of undone imports."""
    return replace(projection, select=remaining)


async def remaining(connection: Connection, events: Events) -> Events:
    """The events without scans of undone imports, and without removals of such scans."""
    removals = [event for event in events if type(event.event) is ItemRemoved]
    if not removals and all(event.actor != identity.IMPORT for event in events):
        return events
    runs = runs_of(events)
    undone = await _undone(connection, runs)
    void = await _void_removals(connection, removals)
    return [
        event
        for event in events
        if event.event_id not in void
        and not (_is_imported(event) and (event.tenant, _run(event)) in undone)
    ]


def runs_of(events: Events) -> set[tuple[str, str]]:
    """The imports that recorded some of the events, by tenant and run."""
    return {(event.tenant, _run(event)) for event in events if _is_imported(event)}


async def any_undone(connection: Connection, runs: Iterable[tuple[str, str]]) -> bool:
    """Whether any of the imports was undone."""
    return bool(await _undone(connection, runs))


def _is_imported(event: Envelope[IngestEvent]) -> bool:
    return event.actor == identity.IMPORT and isinstance(event.event, ScanRecorded)


def _run(event: Envelope[IngestEvent]) -> str:
    return event.correlation_id or ""


async def _undone(connection: Connection, runs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The imports that were undone, by tenant and run."""
    ids = {
        identity.undone_import(identity.namespace(tenant), run): (tenant, run)
        for tenant, run in runs
    }
    if not ids:
        return set()
    found = await connection.fetch("SELECT event_id FROM events WHERE event_id = ANY($1)", [*ids])
    return {ids[row["event_id"]] for row in found}


async def _void_removals(connection: Connection, removals: Events) -> set[UUID]:
    """The event ids of removals whose scan was recorded by an undone import."""
    void: set[UUID] = set()
    candidates = {event.event_id: (event.tenant, _first(event)) for event in removals}
    while candidates:
        rows = await connection.fetch(
            _IMPORTED, [recording for _, recording in candidates.values()], identity.IMPORT
        )
        runs = {row["event_id"]: row["run"] or "" for row in rows}
        undone = await _undone(
            connection, [(tenant, runs[one]) for tenant, one in candidates.values() if one in runs]
        )
        later = {}
        for event_id, (tenant, recording) in candidates.items():
            if recording in runs and (tenant, runs[recording]) in undone:
                if identity.removal_of(recording) == event_id:
                    void.add(event_id)
                else:
                    following = identity.next_recording(recording, runs[recording])
                    later[event_id] = (tenant, following)
        candidates = later
    return void


def _first(event: Envelope[IngestEvent]) -> UUID:
    assert isinstance(event.event, ItemRemoved)  # noqa: S101 -- narrows for the type checker
    return identity.scan_event(identity.namespace(event.tenant), event.event.scan.scan_id)
