"""Revisions of a catalogue: listed, compared, restored (R7)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from services.scale_bridge.catalogue.api.document import document_response
from services.scale_bridge.catalogue.api.limit_errors import limit_error
from services.scale_bridge.catalogue.domain.difference import Difference, difference
from services.scale_bridge.catalogue.domain.model import limits_of
from services.scale_bridge.catalogue.domain.problems import RevisionBeyondModel
from services.scale_bridge.catalogue.handlers import catalogue as handler
from services.scale_bridge.catalogue.handlers import revision as revisions
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
)

router = APIRouter(tags=["revisions"])


class Revision(BaseModel):
    """One change of the catalogue; `confirmed` if it is the last the scale is known to hold."""

    revision: int
    kind: str
    at: datetime
    by: str | None
    plu: str | None = None
    message: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    items: int | None = None
    confirmed: bool


@router.get("/devices/{device_id}/revisions")
async def history(scales: Scales, caller: Reader, device_id: int) -> list[Revision]:
    """The last revisions, the newest first."""
    device = await own_device(scales, caller, device_id)
    limit = scales.settings.revisions
    latest = await revisions.latest(scales, caller.tenant, device.device_id, limit=limit)
    return [Revision(**one) for one in latest]


@router.get("/devices/{device_id}/revisions/diff")
async def diff(
    scales: Scales,
    caller: Reader,
    device_id: int,
    of: Annotated[int, Query(ge=1, alias="from")],
    to: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """The changes, product by product, from one revision to another, or to the current one."""
    device = await own_device(scales, caller, device_id)
    if to is None:
        to = (await handler.load(scales, caller.tenant, device.device_id)).catalogue.revision
    before = await handler.at_revision(scales, caller.tenant, device.device_id, of)
    after = await handler.at_revision(scales, caller.tenant, device.device_id, to)
    return {"from": of, "to": to, **_present(difference(before, after))}


@router.get("/devices/{device_id}/revisions/{revision}")
async def read(scales: Scales, caller: Reader, device_id: int, revision: int) -> Response:
    """The catalogue as it was at a revision."""
    device = await own_device(scales, caller, device_id)
    return await document_response(
        await handler.at_revision(scales, caller.tenant, device.device_id, revision)
    )


@router.post("/devices/{device_id}/revisions/{revision}/revert", dependencies=[DEVICES_VISIBLE])
async def revert(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, revision: int
) -> Response:
    """Restore a revision; the scale gets it with the next upload.

    422 if the model of the scale cannot hold it.
    """
    device = await own_device(scales, caller, device_id)
    limits = limits_of(device.device.profile.model)
    try:
        changed = await revisions.revert(
            scales, device.device_id, revision, caller.subject, metadata, limits=limits
        )
    except RevisionBeyondModel as error:
        return limit_error(error)
    return await document_response(changed.catalogue.current_document)


def _present(changes: Difference) -> dict[str, Any]:
    changed = {
        key: {name: {"before": one.before, "after": one.after} for name, one in fields.items()}
        for key, fields in changes.changed.items()
    }
    lists = {
        name: {key: {"before": one.before, "after": one.after} for key, one in entries.items()}
        for name, entries in changes.lists.items()
    }
    return {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changed,
        "beside": lists,
    }
