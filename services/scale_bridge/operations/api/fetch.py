"""Reading a scale's catalogue while the client waits (§1.1, 8)."""

from fastapi import APIRouter, Response

from services.scale_bridge.catalogue.api.document import tagged_response
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import WORKED, Reader, Scales, own
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["products"])


@router.get("/devices/{device_id}/products", dependencies=[WORKED])
async def fetch(scales: Scales, caller: Reader, device_id: int) -> Response:
    """Read the scale now. The catalogue there replaces the copy, whose revision is kept."""
    found = await own(scales, caller, device_id)
    failed = await run_and_wait(scales, caller, found.device_id, Kind.FETCH)
    if failed is not None:
        return failed
    loaded = await catalogue.load(scales.context, caller.tenant, found.device_id)
    return await tagged_response(loaded.catalogue)
