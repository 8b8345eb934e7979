"""The current recording of a scan.

An import may be undone and its scans recorded again; only the last recording counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.scans.domain import identity


@dataclass(frozen=True, slots=True)
class Recording:
    """A scan's event id in the log, and the event; None if the scan is not recorded yet."""

    event_id: UUID
    recorded: RecordedEvent | None


async def current_recordings(
    store: EventStore[IngestEvent], tenant: str, scan_events: Iterable[UUID]
) -> dict[UUID, Recording]:
    """The current recording of each scan, by the event id of its first one (`identity.scan_event`).

    One query of the log, and two more for imported scans. Raises `LogUnavailable`.
    """
    namespace, firsts = identity.namespace(tenant), list(scan_events)
    recordings: dict[UUID, Recording] = {}
    candidates: dict[UUID, UUID] = {first: first for first in firsts}
    while candidates:
        found = await store.log.find(list(candidates.values()))
        undone = await _undone(store, namespace, found.values())
        later: dict[UUID, UUID] = {}
        for first, event_id in candidates.items():
            recorded = found.get(event_id)
            if recorded is not None and (run := import_run(recorded)) in undone:
                later[first] = identity.next_recording(event_id, run)
            else:
                recordings[first] = Recording(event_id, recorded)
        candidates = later
    return {first: recordings[first] for first in firsts}


def scan_fact(event_id: UUID, scan: ScanRecorded, namespace: UUID) -> Fact[IngestEvent]:
    """The fact of a scan, in its operator's stream."""
    stream = identity.scan_stream(namespace, scan.operator)
    return Fact(event_id=event_id, stream=stream, event=scan, occurred_at=scan.effective_at)


def import_run(recorded: RecordedEvent) -> str:
    """The run of the import that recorded an event; empty for other events."""
    metadata = recorded.metadata
    return metadata.correlation_id or "" if metadata.actor == identity.IMPORT else ""


async def _undone(
    store: EventStore[IngestEvent], namespace: UUID, events: Iterable[RecordedEvent]
) -> set[str]:
    runs = {identity.undone_import(namespace, run): run for run in map(import_run, events) if run}
    found = await store.log.find(list(runs)) if runs else {}
    return {runs[event_id] for event_id in found}
