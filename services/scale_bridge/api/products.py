"""A scale's catalogue: read from the scale, read from the copy, edited (§1.1, 8 to 10)."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.scale_bridge.api.answers import Reader, Writer, catalogue, cause_of, seen, unfit
from services.scale_bridge.api.device import own
from services.scale_bridge.api.waiting import done
from services.scale_bridge.deps import Scales
from services.scale_bridge.domain.copy_commands import Edit
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.domain.product import BadFields
from services.scale_bridge.handlers import catalogue as handler

router = APIRouter(tags=["products"])


class Patch(BaseModel):
    """The fields to set, with their values (R11). Unknown ones are stored as they are."""

    fields: dict[str, Any]


@router.get("/devices/{device_id}/products")
async def fetch(scales: Scales, caller: Reader, device_id: int) -> Response:
    """Read the scale now. The catalogue there replaces the copy, whose revision is kept."""
    found = await own(scales, caller, device_id)
    failed = await done(scales, caller, found.device_id, Kind.FETCH)
    if failed is not None:
        return failed
    loaded = await handler.load(scales.desk, caller.tenant, found.device_id)
    return await catalogue(loaded.copy.shown)


@router.get("/devices/{device_id}/products/cached")
async def cached(scales: Scales, caller: Reader, device_id: int) -> Response:
    """The stored copy, empty if there is none."""
    found = await own(scales, caller, device_id)
    loaded = await handler.load(scales.desk, caller.tenant, found.device_id)
    return await catalogue(loaded.copy.shown)


@router.patch("/devices/{device_id}/products/{plu}")
async def patch(
    request: Request, scales: Scales, caller: Writer, device_id: int, plu: str, body: Patch
) -> Response:
    """Edit one product of the copy; the whole copy is answered. 422 names every bad field."""
    found = await own(scales, caller, device_id)
    command = Edit(
        device_id=found.device_id,
        plu=plu,
        fields=body.fields,
        source="person",
        edited_by=caller.subject,
        now=scales.clock(),
    )
    try:
        changed = await handler.change(
            scales.desk, found.device_id, command, cause_of(request, caller)
        )
    except BadFields as error:
        raise unfit(*((("fields", name), why) for name, why in error.reasons.items())) from None
    await seen(scales, changed.token)
    return await catalogue(changed.copy.shown)
