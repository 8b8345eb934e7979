"""The stored catalogue of a scale: read and edited (§1.1, 9 and 10)."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from libs.http.conditional import IfMatch, not_modified, strong_tag
from services.scale_bridge.catalogue.api.document import tagged_response
from services.scale_bridge.catalogue.api.limit_errors import limit_error
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, Edit
from services.scale_bridge.catalogue.domain.model import limits_of
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel
from services.scale_bridge.catalogue.handlers import catalogue as handler
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
    unfit,
)
from services.scale_bridge.driver.domain.document import position_of

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
    return not_modified(request, tag) or await tagged_response(loaded.catalogue)


@router.patch("/devices/{device_id}/products/{plu}", dependencies=[DEVICES_VISIBLE])
async def patch(
    scales: Scales,
    caller: Writer,
    metadata: Authored,
    precondition: IfMatch,
    device_id: int,
    plu: str,
    body: Patch,
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

    async def edit(catalogue: Catalogue) -> Edit:
        # An unknown product is refused as such (RFC 9110 §13.2.1).
        if position_of(catalogue.current_document, plu) is not None:
            precondition.check(strong_tag(catalogue.revision), CHANGED)
        return command

    try:
        changed = await handler.change(scales, device.device_id, edit, metadata)
    except BeyondModel as error:
        return limit_error(error)
    except BadFields as error:
        raise unfit(*((("fields", name), why) for name, why in error.reasons.items())) from None
    return await tagged_response(changed.catalogue)
