"""The removal of items.

The log, not a read model, decides whether an item is already removed. The audit and the facts of
all items are appended together or not at all, so only one of several parallel removals of an item
succeeds.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from prometheus_client import Counter

from contracts.ingest import IngestEvent, RemovalRecorded, ScanId, ScanRecorded
from libs.errors import NotFound, Refused, Unavailable
from libs.eventsourcing.log import NO_STREAM, Metadata, VersionConflict
from libs.eventsourcing.store import EventStore, Executed, Fact
from services.ingest.removals.domain import (
    LoggedScan,
    Removal,
    RemoveItems,
    decide,
    latest,
)
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import ITEM
from services.ingest.scans.handlers.recordings import current_recordings

REMOVED: Final = Counter("ingest_items_removed", "Items taken back")

ATTEMPTS: Final = 20
"""How often a removal is decided again after another one came first."""


class EventUnknown(NotFound):
    """Event not found"""


class NotAnItem(Refused):
    """Only items can be removed."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The audit of a removal, and its consistency token."""

    audit: RemovalRecorded
    token: str


Items: TypeAlias = Callable[[], AsyncIterator[Sequence[ScanId]]]
"""Pages of the items of a code in a box in the log, the latest first."""


async def remove_from_box(
    store: EventStore[IngestEvent],
    items: Items,
    *,
    box: str,
    code: str,
    command: RemoveItems,
    metadata: Metadata,
) -> Removed | None:
    """Remove the latest item of a code in a box (§2.5); None if there is none.

    `items` lists the items, also removed ones. Raises `LogUnavailable`, and what `items` raises.
    """

    async def find() -> Sequence[LoggedScan]:
        async for page in items():
            if found := latest(await _logged_scans(store, metadata, page), box=box, code=code):
                return found
        return []

    return await _remove(store, find, command, metadata)


async def remove_listed(
    store: EventStore[IngestEvent],
    scans: Sequence[ScanId],
    *,
    command: RemoveItems,
    metadata: Metadata,
) -> Removed | None:
    """Remove the `scans` that are items and not removed yet; None if there are none (§2.5).

    Raises `LogUnavailable`.
    """

    async def find() -> Sequence[LoggedScan]:
        return await _logged_scans(store, metadata, scans)

    return await _remove(store, find, command, metadata)


async def remove_event(
    store: EventStore[IngestEvent],
    scan_id: ScanId | None,
    *,
    command: RemoveItems,
    metadata: Metadata,
) -> Removed | None:
    """Remove one item by its id; None if it was removed before (§2.10).

    Raises `EventUnknown`, `NotAnItem`, `LogUnavailable`.
    """

    async def find() -> Sequence[LoggedScan]:
        found = await _logged_scans(store, metadata, [scan_id]) if scan_id else []
        if not found:
            raise NotAnItem if await _is_audit(store, scan_id, metadata.tenant) else EventUnknown
        if found[0].scan.kind != ITEM:
            raise NotAnItem
        return found

    return await _remove(store, find, command, metadata)


async def _remove(
    store: EventStore[IngestEvent],
    find: Callable[[], Awaitable[Sequence[LoggedScan]]],
    command: RemoveItems,
    metadata: Metadata,
) -> Removed | None:
    for _ in range(ATTEMPTS):
        # Scans are read before the first result: a removal in between is then seen as the result.
        logged = await find()
        if first := await _first_result(store, command.removal_id, metadata.tenant):
            return first
        if (removal := decide(logged, command)) is None:
            return None
        try:
            recordings = {one.scan.scan_id: one.recording for one in logged}
            return await _append(store, removal, recordings, metadata)
        except VersionConflict:
            continue
    raise Unavailable("removal")


async def _append(
    store: EventStore[IngestEvent],
    removal: Removal,
    recordings: Mapping[ScanId, UUID],
    metadata: Metadata,
) -> Removed:
    namespace, audit = identity.namespace(metadata.tenant), removal.audit
    # For the recordings that were decided on: if their import is undone, so are these facts.
    facts: list[Fact[IngestEvent]] = [
        Fact(
            event_id=identity.removal_of(recordings[item.scan.scan_id]),
            stream=identity.scan_stream(namespace, item.scan.operator),
            event=item,
            occurred_at=item.removed_at,
        )
        for item in removal.items
    ]
    await store.append(
        identity.removal_stream(audit.removal_id),
        [audit],
        expected=NO_STREAM,
        metadata=metadata,
        command_id=audit.removal_id,
        facts=facts,
    )
    # A parallel repeat of the request may have been appended first, with another decision.
    if (first := await _first_result(store, audit.removal_id, metadata.tenant)) is None:
        raise VersionConflict("appended and not to be found")
    if first.audit == audit:
        REMOVED.inc(len(audit.removed))
    return first


async def _first_result(
    store: EventStore[IngestEvent], command_id: UUID, tenant: str
) -> Removed | None:
    outcome = await store.outcome_of(command_id, tenant, identity.removal_stream(command_id))
    match outcome:
        case Executed(events=[RemovalRecorded() as audit], token=token):
            return Removed(audit, token or "")
        case _:
            return None


async def _logged_scans(
    store: EventStore[IngestEvent], metadata: Metadata, scans: Iterable[ScanId]
) -> list[LoggedScan]:
    """The `scans` that are in the log, without repeats, in their order."""
    namespace = identity.namespace(metadata.tenant)
    ids = [identity.scan_event(namespace, scan_id) for scan_id in scans]
    recordings = list((await current_recordings(store, metadata.tenant, ids)).values())
    removals = await store.log.find([identity.removal_of(one.event_id) for one in recordings])
    return [
        LoggedScan(
            scan=scan,
            recording=one.event_id,
            removed=identity.removal_of(one.event_id) in removals,
        )
        for one in recordings
        if one.recorded and isinstance(scan := store.decode(one.recorded), ScanRecorded)
    ]


async def _is_audit(store: EventStore[IngestEvent], scan_id: UUID | None, tenant: str) -> bool:
    if scan_id is None:
        return False
    return bool((await store.read(tenant, identity.removal_stream(scan_id))).events)
