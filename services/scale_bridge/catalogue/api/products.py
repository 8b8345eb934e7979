"""A scale's catalogue: read from the scale, read from the copy, edited (§1.1, 8 to 10)."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from libs.http.entity_tags import is_known, is_wanted, strong_tag
from services.scale_bridge.catalogue.api.too_much import too_much
from services.scale_bridge.catalogue.domain.copy_commands import Edit
from services.scale_bridge.catalogue.domain.copy_history import Copy
from services.scale_bridge.catalogue.domain.model import limits_of
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel
from services.scale_bridge.catalogue.handlers import catalogue as handler
from services.scale_bridge.catalogue.handlers.condition import ChangedMeanwhile, only_if
from services.scale_bridge.context import Scales
from services.scale_bridge.devices.api.device import own
from services.scale_bridge.http import (
    LISTED,
    WORKED,
    Reader,
    Writer,
    catalogue,
    cause_of,
    unfit,
)
from services.scale_bridge.operations.api.waiting import done
from services.scale_bridge.transfer.domain.operation_commands import Kind

router = APIRouter(tags=["products"])

ETAG: Final = "ETag"
CHANGED: Final = "Каталог изменился с тех пор, как вы его видели: загрузите его ещё раз."


class Patch(BaseModel):
    """The fields to set, with their values (R11). Unknown ones are stored as they are."""

    fields: dict[str, Any]


@router.get("/devices/{device_id}/products", dependencies=[WORKED])
async def fetch(scales: Scales, caller: Reader, device_id: int) -> Response:
    """Read the scale now. The catalogue there replaces the copy, whose revision is kept."""
    found = await own(scales, caller, device_id)
    failed = await done(scales, caller, found.device_id, Kind.FETCH)
    if failed is not None:
        return failed
    loaded = await handler.load(scales.desk, caller.tenant, found.device_id)
    return await _tagged(loaded.copy)


@router.get("/devices/{device_id}/products/cached")
async def cached(request: Request, scales: Scales, caller: Reader, device_id: int) -> Response:
    """The stored copy, empty if there is none; 304 to who has it, by `If-None-Match`."""
    found = await own(scales, caller, device_id)
    loaded = await handler.load(scales.desk, caller.tenant, found.device_id)
    tag = strong_tag(loaded.copy.revision)
    if is_known(request.headers.getlist("If-None-Match"), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={ETAG: tag})
    return await _tagged(loaded.copy)


@router.patch("/devices/{device_id}/products/{plu}", dependencies=[LISTED])
async def patch(
    request: Request, scales: Scales, caller: Writer, device_id: int, plu: str, body: Patch
) -> Response:
    """Edit one product of the copy; the whole copy is answered. 422 names every bad field.

    With `If-Match` only the revision that is named by its tag is edited, else it is 412.
    """
    found = await own(scales, caller, device_id)
    command = Edit(
        device_id=found.device_id,
        plu=plu,
        fields=body.fields,
        source="person",
        edited_by=caller.subject,
        now=scales.clock(),
        limits=limits_of(found.device.profile.model),
    )
    tags = request.headers.getlist("If-Match")
    asked = only_if(lambda revision: is_wanted(tags, strong_tag(revision)), command)
    try:
        changed = await handler.change(
            scales.desk, found.device_id, asked, cause_of(request, caller)
        )
    except ChangedMeanwhile as error:
        headers = {ETAG: strong_tag(error.revision)}
        raise HTTPException(HTTPStatus.PRECONDITION_FAILED, CHANGED, headers) from None
    except BeyondModel as error:
        return too_much(error)
    except BadFields as error:
        raise unfit(*((("fields", name), why) for name, why in error.reasons.items())) from None
    return await _tagged(changed.copy)


async def _tagged(copy: Copy) -> Response:
    """The catalogue, and by which tag it is known: that of its revision."""
    answer = await catalogue(copy.shown)
    answer.headers[ETAG] = strong_tag(copy.revision)
    return answer
