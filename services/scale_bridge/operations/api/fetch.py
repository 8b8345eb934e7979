"""Fetches the catalogue of a scale while the client waits (§1.1, 8)."""

from fastapi import APIRouter, Response

from libs.http.manifest import traffic
from services.scale_bridge.catalogue.api.document import tagged_response
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import OPERATIONS_VISIBLE, Reader, Scales, own_device
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["products"])


@router.get("/devices/{device_id}/products", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def fetch(scales: Scales, caller: Reader, device_id: int) -> Response:
    """Read the scale now. Its catalogue replaces the stored one, as a new revision."""
    device = await own_device(scales, caller, device_id)
    failed = await run_and_wait(scales, caller, device.device_id, Kind.FETCH)
    if failed is not None:
        return failed
    loaded = await catalogue.load(scales, caller.tenant, device.device_id)
    return await tagged_response(loaded.catalogue)
