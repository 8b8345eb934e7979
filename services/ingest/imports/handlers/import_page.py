"""Adds a page of imported rows to the log: scans, removals of items, and audits."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from uuid import UUID

from contracts.ingest import IngestEvent, RemovalRecorded, ScanRecorded
from libs.eventsourcing.log import NO_STREAM, Metadata, NewEvent
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.imports.domain.log_events import Entry
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.box import AUDIT
from services.ingest.scans.handlers.recordings import current_recordings, scan_fact

Entries = Mapping[UUID, Entry]
"""Rows by the event id of their scan's first recording."""


async def unrecorded(
    store: EventStore[IngestEvent], tenant: str, entries: Entries
) -> list[set[UUID]]:
    """The event ids that are not in the log, for each entry that would add events.

    Raises `LogUnavailable`.
    """
    namespace, entries = identity.namespace(tenant), await _new(store, tenant, entries)
    scans = await current_recordings(store, tenant, entries)
    ids = [ids_of(namespace, entry, scans[key].event_id) for key, entry in entries.items()]
    found = await store.log.find([event_id for entry_ids in ids for event_id in entry_ids])
    return [new for entry_ids in ids if (new := set(entry_ids) - found.keys())]


async def record(
    store: EventStore[IngestEvent], entries: Entries, metadata: Metadata, *, repeated: bool
) -> int:
    """Store what is new; the number of entries that added events. Safe to repeat.

    With `repeated`, events that an earlier attempt with the same `causation_id` stored count too.
    Raises `LogUnavailable`; then some events may be stored.
    """
    namespace, all_of_them = identity.namespace(metadata.tenant), entries
    entries = await _new(store, metadata.tenant, entries)
    facts = {key: scan_fact(key, one.scan, namespace) for key, one in entries.items() if one.scan}
    new = set((await store.record(list(facts.values()), metadata=metadata)).new)
    if known := facts.keys() - new:
        recordings = await current_recordings(store, metadata.tenant, known)
        facts |= {key: replace(facts[key], event_id=recordings[key].event_id) for key in known}
        # A scan of an undone import has another event id.
        if again := [facts[key] for key in known if facts[key].event_id != key]:
            new |= (await store.record(again, metadata=metadata)).new
    if removals := [fact async for fact in _removals(store, entries, facts, namespace)]:
        new |= (await store.record(removals, metadata=metadata)).new
    for audit in (entry.audit for entry in entries.values() if entry.audit):
        new.add(await _record_audit(store, audit, metadata))
    ids = [
        ids_of(namespace, entry, facts[key].event_id if key in facts else key)
        for key, entry in all_of_them.items()
    ]
    if repeated:
        found = await store.log.find([event_id for entry_ids in ids for event_id in entry_ids])
        new |= {
            one for one, it in found.items() if it.metadata.causation_id == metadata.causation_id
        }
    return sum(not new.isdisjoint(entry_ids) for entry_ids in ids)


def ids_of(namespace: UUID, entry: Entry, recording: UUID) -> list[UUID]:
    """The event ids of an entry whose scan has the event id `recording`."""
    if entry.audit is not None:
        return [identity.imported_removal_event(namespace, entry.audit.removal_id)]
    return [recording, *([identity.removal_of(recording)] if entry.removed else [])]


async def _removals(
    store: EventStore[IngestEvent],
    entries: Entries,
    facts: Mapping[UUID, Fact[IngestEvent]],
    namespace: UUID,
) -> AsyncIterator[Fact[IngestEvent]]:
    removed = {facts[key].event_id: one.removed for key, one in entries.items() if one.removed}
    found = await store.log.find(list(removed)) if removed else {}
    for event_id, removal in removed.items():
        # The removal is of the scan in the log, which may differ from the one in the row.
        scan = store.decode(found[event_id])
        if isinstance(scan, ScanRecorded):
            yield Fact(
                event_id=identity.removal_of(event_id),
                stream=identity.scan_stream(namespace, scan.operator),
                event=replace(removal, scan=scan),
                occurred_at=removal.removed_at,
            )


async def _record_audit(
    store: EventStore[IngestEvent], audit: RemovalRecorded, metadata: Metadata
) -> UUID:
    name, version, data = store.codec.encode(audit)
    event = NewEvent(
        event_id=identity.imported_removal_event(
            identity.namespace(metadata.tenant), audit.removal_id
        ),
        type=name,
        schema_version=version,
        data=data,
        # The day by which `as_of` finds it; `EventStore.append` would use the current time.
        occurred_at=audit.removed_at,
    )
    stream = identity.removal_stream(audit.removal_id)
    await store.log.append(stream, [event], expected=NO_STREAM, metadata=metadata)
    return event.event_id


async def _new(store: EventStore[IngestEvent], tenant: str, entries: Entries) -> Entries:
    """The entries without audits that are in the log, as audits or as scans."""
    namespace = identity.namespace(tenant)
    held_as: dict[UUID, UUID] = {}
    for key, entry in entries.items():
        if entry.row.kind in AUDIT:
            removal_id = entry.row.scan_id
            held_as[identity.removal_event(removal_id)] = key
            held_as[identity.imported_removal_event(namespace, removal_id)] = key
            if entry.audit:
                held_as[key] = key
    if not held_as:
        return entries
    found = await store.log.find(list(held_as))
    held = {held_as[event_id] for event_id, it in found.items() if it.metadata.tenant == tenant}
    return {key: entry for key, entry in entries.items() if key not in held}
