"""What the last revisions of a catalogue were, and bringing one back (R7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.scale_bridge import (
    CatalogueFetched,
    CatalogueInvalidated,
    CatalogueReverted,
    DatesRefreshed,
    DeviceId,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.log import Cause
from services.scale_bridge.adapters import contents
from services.scale_bridge.domain.copy import CATEGORY, RevisionUnknown
from services.scale_bridge.domain.copy_commands import CopyCommand, Revert
from services.scale_bridge.domain.copy_history import Copy
from services.scale_bridge.handlers import catalogue
from services.scale_bridge.handlers.catalogue import Changed
from services.scale_bridge.handlers.desk import Desk

SPARE: Final = 4
"""Beside each revision stand events that are none: what the scale confirmed, what is doubted."""


async def latest(
    desk: Desk, tenant: str, device_id: DeviceId, *, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The last revisions, the newest first: what changed, when, by whom."""
    loaded = await catalogue.load(desk, tenant, device_id)
    after = max(0, loaded.version - SPARE * limit)
    recorded = await desk.store.log.read(tenant, f"{CATEGORY}-{device_id}", after=after)
    confirmed = loaded.copy.confirmed
    told = [
        {**said, "at": one.occurred_at, "confirmed": said["revision"] == confirmed}
        for one in recorded
        if (said := _told(desk.store.decode(one), one.cause.actor)) is not None
    ]
    return told[::-1][:limit]


async def revert(desk: Desk, device_id: DeviceId, revision: int, by: str, cause: Cause) -> Changed:
    """Make a revision the present one again. Raises RevisionUnknown, NothingCached, Unavailable."""

    async def command(copy: Copy) -> CopyCommand:
        if not copy.since <= revision <= copy.revision:
            raise RevisionUnknown
        document = await catalogue.at_revision(desk, cause.tenant, device_id, revision)
        content = await contents.put(
            desk.pool, cause.tenant, device_id, copy.revision + 1, document
        )
        return Revert(
            device_id=device_id,
            to_revision=revision,
            content=content,
            document=document,
            reverted_by=by,
            now=desk.clock(),
        )

    return await catalogue.change(desk, device_id, command, cause)


def _told(event: ScaleBridgeEvent, actor: str | None) -> dict[str, Any] | None:
    match event:
        case CatalogueFetched(revision=revision, items=items):
            return {"revision": revision, "kind": "fetched", "by": actor, "items": items}
        case CatalogueReverted(revision=revision, items=items, reverted_by=by):
            return {"revision": revision, "kind": "reverted", "by": by, "items": items}
        case ProductEdited(revision=revision):
            said = {"plu": event.plu, "before": event.before, "after": event.after}
            kind = f"edited by {event.source}"
            return {"revision": revision, "kind": kind, "by": event.edited_by, **said}
        case DatesRefreshed(revision=revision, dates=dates):
            return {"revision": revision, "kind": "dated", "by": actor, "items": len(dates)}
        case CatalogueInvalidated(revision=revision, reason=reason):
            return {"revision": revision, "kind": f"invalidated: {reason}", "by": actor}
        case _:
            return None
