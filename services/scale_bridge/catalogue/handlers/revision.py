"""What the last revisions of a catalogue were, and bringing one back (R7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.domain.commands import CatalogueCommand, Revert
from services.scale_bridge.catalogue.domain.decisions import CATEGORY, RevisionUnknown
from services.scale_bridge.catalogue.domain.fetched import EditedMeanwhile
from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.handlers.catalogue import Changed
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context

SPARE: Final = 4
"""Beside each revision stand events that are none: what the scale confirmed, what is doubted."""


async def latest(
    context: Context, tenant: str, device_id: DeviceId, *, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The last revisions, the newest first: what changed, when, by whom."""
    loaded = await catalogue.load(context, tenant, device_id)
    confirmed = loaded.copy.confirmed
    spare = SPARE
    while True:
        after = max(0, loaded.version - spare * limit)
        recorded = await context.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=after)
        told = [
            {**said, "at": one.occurred_at, "confirmed": said["revision"] == confirmed}
            for one in recorded
            if (said := _described(context.store.decode(one), one.metadata.actor)) is not None
        ]
        if not after or len(told) >= limit:
            return told[::-1][:limit]
        # Prices that change nothing may be many.
        spare *= 4


async def revert(
    context: Context,
    device_id: DeviceId,
    revision: int,
    by: str,
    metadata: Metadata,
    *,
    limits: Limits = PERMISSIVE,
) -> Changed:
    """Make a revision the present one again, within the limits of the scale's model.

    Raises RevisionUnknown, RevisionBeyondModel, NothingCached, Unavailable; EditedMeanwhile if the
    catalogue changes under it, for whoever did that has been told that it is so.
    """
    seen = (await catalogue.load(context, metadata.tenant, device_id)).copy.revision

    async def command(copy: Catalogue) -> CatalogueCommand:
        if not copy.since <= revision <= copy.revision:
            raise RevisionUnknown
        if copy.revision != seen:
            raise EditedMeanwhile
        document = await catalogue.at_revision(context, metadata.tenant, device_id, revision)
        content = await document_store.put(
            context.pool, metadata.tenant, device_id, copy.revision + 1, document
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
            said = {"plu": event.plu, "before": event.before, "after": event.after}
            kind = f"edited by {event.source}"
            return {"revision": revision, "kind": kind, "by": event.edited_by, **said}
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
