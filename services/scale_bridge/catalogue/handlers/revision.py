"""The last revisions of a catalogue, and restoring one (R7)."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.scale_bridge import (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceId,
    MessageEdited,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.log import Metadata
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, CatalogueCommand, Revert
from services.scale_bridge.catalogue.domain.decisions import CATEGORY, RevisionUnknown
from services.scale_bridge.catalogue.domain.fetched import EditedMeanwhile
from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.handlers.catalogue import Changed
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context


async def latest(
    context: Context, tenant: str, device_id: DeviceId, *, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The last revisions, newest first: the change, its time and its author."""
    loaded = await catalogue.load(context, tenant, device_id)
    confirmed = loaded.catalogue.confirmed
    number = catalogue.EVENTS_PER_REVISION * limit
    while True:
        after = max(0, loaded.version - number)
        recorded = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=after)
        revisions = [
            {**fields, "at": one.occurred_at, "confirmed": fields["revision"] == confirmed}
            for one in recorded
            if (fields := _described(context.store.decode(one), one.metadata.actor)) is not None
        ]
        if not after or len(revisions) >= limit:
            return revisions[::-1][:limit]
        # Most events may be prices, which make no revision.
        number *= 4


async def revert(
    context: Context,
    device_id: DeviceId,
    revision: int,
    by: str,
    metadata: Metadata,
    *,
    limits: Limits = PERMISSIVE,
) -> Changed:
    """Restore a revision, within the limits of the scale's model.

    Raises RevisionUnknown, RevisionBeyondModel, NothingCached, Unavailable; EditedMeanwhile if the
    catalogue changes meanwhile, so that no confirmed edit is lost.
    """
    seen = (await catalogue.load(context, metadata.tenant, device_id)).catalogue.revision

    async def command(current: Catalogue) -> CatalogueCommand:
        if not current.since <= revision <= current.revision:
            raise RevisionUnknown
        if current.revision != seen:
            raise EditedMeanwhile
        document = await catalogue.at_revision(context, metadata.tenant, device_id, revision)
        content = await document_store.put(
            context.system, metadata.tenant, device_id, current.revision + 1, document
        )
        return Revert(
            device_id=device_id,
            to_revision=revision,
            content=content,
            document=document,
            reverted_by=by,
            now=context.clock(),
            limits=limits,
        )

    return await catalogue.change(context, device_id, command, metadata)


def _described(event: ScaleBridgeEvent, actor: str | None) -> dict[str, Any] | None:
    match event:
        case CatalogueFetched(revision=revision, items=items):
            return {"revision": revision, "kind": "fetched", "by": actor, "items": items}
        case CatalogueReverted(revision=revision, items=items, reverted_by=by):
            return {"revision": revision, "kind": "reverted", "by": by, "items": items}
        case ProductEdited(revision=revision):
            product = {"plu": event.plu, "before": event.before, "after": event.after}
            kind = f"edited by {event.source}"
            return {"revision": revision, "kind": kind, "by": event.edited_by, **product}
        case MessageEdited(revision=revision):
            text = {"message": event.message, "before": event.before, "after": event.after}
            kind = "text deleted" if event.after.get("deleted") is True else "text edited"
            return {"revision": revision, "kind": kind, "by": event.edited_by, **text}
        case DatesRefreshed(revision=revision, dates=dates):
            return {"revision": revision, "kind": "dated", "by": actor, "items": len(dates)}
        case CatalogueInvalidated(revision=revision, reason=reason):
            return {"revision": revision, "kind": f"invalidated: {reason}", "by": actor}
        case _:
            return None
