"""The removal of items.

The log decides: whether a scan is still there stands in the log, whatever a read model shows, and
the audit is appended together with the fact about every item, or not at all. So of several who
remove the same item at once one succeeds.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID, uuid5

import msgspec
from prometheus_client import Counter

from contracts.ingest import IngestEvent, RemovalRecorded, ScanId, ScanRecorded
from libs.errors import NotFound, Refused, Unavailable, Unfit
from libs.eventsourcing.log import NO_STREAM, Metadata, VersionConflict
from libs.eventsourcing.store import EventStore, Fact, new_event_id
from services.ingest.removals.domain import (
    Kind,
    LoggedScan,
    Removal,
    Removing,
    decide,
    latest,
)
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import ITEM
from services.ingest.scans.handlers.recordings import current

REMOVED: Final = Counter("ingest_items_removed", "Items taken back")

ATTEMPTS: Final = 20
"""How often a lost race for an item is decided again."""


class EventUnknown(NotFound):
    """Event not found"""


class NotAnItem(Refused):
    """Only items can be removed."""


class KeyReused(Unfit):
    """The Idempotency-Key belongs to another request"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Who wants something removed, when and why. A `key` makes a repeated order answer the first
    result, to the same caller; `request` says what it was for, so that no other passes for it."""

    kind: Kind
    operator: str
    reason: str
    at: datetime
    key: str | None = None
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, and the token to read it back with."""

    audit: RemovalRecorded
    token: str


Items: TypeAlias = Callable[[], AsyncIterator[Sequence[ScanId]]]
"""Pages of all items of a code in a box that the log holds, the latest first."""


async def remove_from_box(
    store: EventStore[IngestEvent],
    items: Items,
    *,
    box: str,
    code: str,
    order: Order,
    metadata: Metadata,
) -> Removed | None:
    """Remove the latest item of a code in a box (§2.5), or nothing if there is none.

    `items` lists those of the box, removed ones too. Raises `LogUnavailable`, and what `items`
    raises.
    """

    async def find() -> Sequence[LoggedScan]:
        async for page in items():
            if found := latest(await _logged_scans(store, metadata, page), box=box, code=code):
                return found
        return []

    return await _remove(store, find, order, metadata)


async def remove_listed(
    store: EventStore[IngestEvent], scans: Sequence[ScanId], *, order: Order, metadata: Metadata
) -> Removed | None:
    """Remove those of `scans` that are items and still there, or nothing (§2.5).

    Raises `KeyReused`, `LogUnavailable`.
    """

    async def find() -> Sequence[LoggedScan]:
        return await _logged_scans(store, metadata, scans)

    return await _remove(store, find, order, metadata)


async def remove_event(
    store: EventStore[IngestEvent], scan_id: ScanId | None, *, order: Order, metadata: Metadata
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

    return await _remove(store, find, order, metadata)


async def _remove(
    store: EventStore[IngestEvent],
    find: Callable[[], Awaitable[Sequence[LoggedScan]]],
    order: Order,
    metadata: Metadata,
) -> Removed | None:
    command_id = _command_id(order, metadata)
    for _ in range(ATTEMPTS):
        # Read before the first result: a scan that is gone by then has its result there.
        found = await find()
        if first := await _first_result(store, command_id, metadata.tenant):
            return _same(first, order)
        wanted = Removing(
            removal_id=command_id,
            kind=order.kind,
            operator=order.operator,
            reason=order.reason,
            at=order.at,
            request=order.request,
        )
        if (removal := decide(found, wanted)) is None:
            return None
        try:
            recordings = {one.scan.scan_id: one.recording for one in found}
            return _same(await _append(store, removal, recordings, metadata), order)
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
    # Of the recordings that were decided on: if their import was undone meanwhile, so are these.
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
    # If the same order came twice at once, the other one may have decided something else.
    if (first := await _first_result(store, audit.removal_id, metadata.tenant)) is None:
        raise VersionConflict("appended and not to be found")
    if first.audit == audit:
        REMOVED.inc(len(audit.removed))
    return first


async def _first_result(
    store: EventStore[IngestEvent], command_id: UUID, tenant: str
) -> Removed | None:
    outcome = await store.outcome_of(command_id, tenant, identity.removal_stream(command_id))
    match outcome.events if outcome else []:
        case [RemovalRecorded() as audit]:
            return Removed(audit, outcome.token if outcome else "")
        case _:
            return None


def _same(first: Removed, order: Order) -> Removed:
    """The first result, if it is that of the same request. Raises KeyReused."""
    if first.audit.request != order.request:
        raise KeyReused
    return first


def _command_id(order: Order, metadata: Metadata) -> UUID:
    if order.key is None:
        return new_event_id()
    # A key is one caller's, for one route: those of others are other keys.
    said = msgspec.json.encode([order.kind, metadata.actor, order.key]).decode()
    return uuid5(identity.namespace(metadata.tenant), said)


async def _logged_scans(
    store: EventStore[IngestEvent], metadata: Metadata, scans: Iterable[ScanId]
) -> list[LoggedScan]:
    """Those of `scans` that are in the log, each once, in their order."""
    namespace = identity.namespace(metadata.tenant)
    ids = [identity.scan_event(namespace, scan_id) for scan_id in scans]
    recordings = list((await current(store, metadata.tenant, ids)).values())
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
