"""Where in the log a scan is that counts: its import may be undone, and the scan recorded again."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.scans.domain import identity


@dataclass(frozen=True, slots=True)
class Recording:
    """The event that counts, or None and the id that the next recording gets."""

    event_id: UUID
    recorded: RecordedEvent | None


async def current(
    store: EventStore[IngestEvent], tenant: str, scan_events: Iterable[UUID]
) -> dict[UUID, Recording]:
    """For each first event id of a scan (`identity.scan_event`) its recording that counts.

    One look at the log, and two more only where imported scans are met. Raises `LogUnavailable`.
    """
    namespace, firsts = identity.namespace(tenant), list(scan_events)
    counting: dict[UUID, Recording] = {}
    open_: dict[UUID, UUID] = {first: first for first in firsts}
    while open_:
        found = await store.log.find(list(open_.values()))
        undone = await _undone(store, namespace, found.values())
        later: dict[UUID, UUID] = {}
        for first, event_id in open_.items():
            recorded = found.get(event_id)
            if recorded is not None and (run := run_of(recorded)) in undone:
                later[first] = identity.next_recording(event_id, run)
            else:
                counting[first] = Recording(event_id, recorded)
        open_ = later
    return {first: counting[first] for first in firsts}


def fact_of(event_id: UUID, scan: ScanRecorded, namespace: UUID) -> Fact[IngestEvent]:
    """The fact that a scan was made, of when it counts, in its operator's stream."""
    stream = identity.scan_stream(namespace, scan.operator)
    return Fact(event_id=event_id, stream=stream, event=scan, occurred_at=scan.effective_at)


def run_of(recorded: RecordedEvent) -> str:
    """The import that an event is from, empty if it is from none."""
    metadata = recorded.metadata
    return metadata.correlation_id or "" if metadata.actor == identity.IMPORT else ""


async def _undone(
    store: EventStore[IngestEvent], namespace: UUID, events: Iterable[RecordedEvent]
) -> set[str]:
    runs = {identity.undone_import(namespace, run): run for run in map(run_of, events) if run}
    found = await store.log.find(list(runs)) if runs else {}
    return {runs[event_id] for event_id in found}
