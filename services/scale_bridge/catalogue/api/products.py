"""The stored catalogue of a scale: read and edited (§1.1, 9 and 10)."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from libs.http.entity_tags import if_match_allows, is_not_modified, strong_tag
from services.scale_bridge.catalogue.api.document import ETAG, tagged_response
from services.scale_bridge.catalogue.api.limit_errors import limit_error
from services.scale_bridge.catalogue.domain.catalogue import Edit
from services.scale_bridge.catalogue.domain.model import limits_of
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel
from services.scale_bridge.catalogue.handlers import catalogue as handler
from services.scale_bridge.catalogue.handlers.catalogue import ChangedMeanwhile, if_match
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    Reader,
    Scales,
    Writer,
    own_device,
    request_metadata,
    unfit,
)

router = APIRouter(tags=["products"])

CHANGED: Final = "Каталог изменился с тех пор, как вы его видели: загрузите его ещё раз."


class Patch(BaseModel):
    """The fields to set, with their values (R11). Unknown ones are stored as they are."""

    fields: dict[str, Any]


@router.get("/devices/{device_id}/products/cached")
async def cached(request: Request, scales: Scales, caller: Reader, device_id: int) -> Response:
    """The stored catalogue, empty if there is none; 304 if `If-None-Match` has its tag."""
    device = await own_device(scales, caller, device_id)
    loaded = await handler.load(scales, caller.tenant, device.device_id)
    tag = strong_tag(loaded.catalogue.revision)
    if is_not_modified(request.headers.getlist("If-None-Match"), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={ETAG: tag})
    return await tagged_response(loaded.catalogue)


@router.patch("/devices/{device_id}/products/{plu}", dependencies=[DEVICES_VISIBLE])
async def patch(
    request: Request, scales: Scales, caller: Writer, device_id: int, plu: str, body: Patch
) -> Response:
    """Edit one product; the response is the whole catalogue. 422 names every bad field.

    With `If-Match` only the revision with this tag is edited, else it is 412.
    """
    device = await own_device(scales, caller, device_id)
    command = Edit(
        device_id=device.device_id,
        plu=plu,
        fields=body.fields,
        source="person",
        edited_by=caller.subject,
        now=scales.clock(),
        limits=limits_of(device.device.profile.model),
    )
    tags = request.headers.getlist("If-Match")
    edit = if_match(lambda revision: if_match_allows(tags, strong_tag(revision)), command)
    try:
        changed = await handler.change(
            scales, device.device_id, edit, request_metadata(request, caller)
        )
    except ChangedMeanwhile as error:
        headers = {ETAG: strong_tag(error.revision)}
        raise HTTPException(HTTPStatus.PRECONDITION_FAILED, CHANGED, headers) from None
    except BeyondModel as error:
        return limit_error(error)
    except BadFields as error:
        raise unfit(*((("fields", name), why) for name, why in error.reasons.items())) from None
    return await tagged_response(changed.catalogue)
