"""What a page of imported rows adds to the log: scans, removals of items, and their audits."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from uuid import UUID

from contracts.ingest import IngestEvent, RemovalRecorded, ScanRecorded
from libs.eventsourcing.log import NO_STREAM, Metadata, NewEvent
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.imports.domain.log_events import Entry
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.box import AUDIT
from services.ingest.scans.handlers.recordings import current, fact_of

Entries = Mapping[UUID, Entry]
"""Rows by the event id that their scan has, or would have."""


async def unknown(store: EventStore[IngestEvent], tenant: str, entries: Entries) -> list[set[UUID]]:
    """For each entry that would add something the ids of the events that the log does not hold.

    Raises `LogUnavailable`.
    """
    namespace, entries = identity.namespace(tenant), await _new(store, tenant, entries)
    scans = await current(store, tenant, entries)
    ids = [ids_of(namespace, entry, scans[key].event_id) for key, entry in entries.items()]
    found = await store.log.find([event_id for each in ids for event_id in each])
    return [new for each in ids if (new := set(each) - found.keys())]


async def record(
    store: EventStore[IngestEvent], entries: Entries, metadata: Metadata, *, repeated: bool
) -> int:
    """Store what is new; how many of the entries added anything. Safe to repeat.

    `repeated` if an attempt with the same cause went before: what that stored counts too. Raises
    `LogUnavailable`, and then some of it may be stored.
    """
    namespace, all_of_them = identity.namespace(metadata.tenant), entries
    entries = await _new(store, metadata.tenant, entries)
    facts = {key: fact_of(key, one.scan, namespace) for key, one in entries.items() if one.scan}
    new = set((await store.record(list(facts.values()), metadata=metadata)).new)
    if known := facts.keys() - new:
        recordings = await current(store, metadata.tenant, known)
        facts |= {key: replace(facts[key], event_id=recordings[key].event_id) for key in known}
        # Of a scan from an import that was undone it is another id.
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
        found = await store.log.find([event_id for each in ids for event_id in each])
        new |= {
            one for one, it in found.items() if it.metadata.causation_id == metadata.causation_id
        }
    return sum(not new.isdisjoint(each) for each in ids)


def ids_of(namespace: UUID, entry: Entry, recording: UUID) -> list[UUID]:
    """The event ids of what an entry adds to the log, its scan under the id `recording`."""
    if entry.audit is not None:
        return [identity.imported_removal_event(namespace, entry.audit.removal_id)]
    return [recording, *([identity.removal_of(recording)] if entry.removed else [])]


async def _removals(
    store: EventStore[IngestEvent],
    entries: Entries,
    facts: Mapping[UUID, Fact[IngestEvent]],
    namespace: UUID,
) -> AsyncIterator[Fact[IngestEvent]]:
    removed = {facts[key].event_id: each.removed for key, each in entries.items() if each.removed}
    found = await store.log.find(list(removed)) if removed else {}
    for event_id, gone in removed.items():
        # What is taken back is the scan that counts: the log's, if that was another.
        scan = store.decode(found[event_id])
        if isinstance(scan, ScanRecorded):
            yield Fact(
                event_id=identity.removal_of(event_id),
                stream=identity.scan_stream(namespace, scan.operator),
                event=replace(gone, scan=scan),
                occurred_at=gone.removed_at,
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
        # Of its own day, as `as_of` looks for it. `EventStore.append` would say now.
        occurred_at=audit.removed_at,
    )
    stream = identity.removal_stream(audit.removal_id)
    await store.log.append(stream, [event], expected=NO_STREAM, metadata=metadata)
    return event.event_id


async def _new(store: EventStore[IngestEvent], tenant: str, entries: Entries) -> Entries:
    """The entries without the audits that the log holds, as what they are or as scans."""
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
