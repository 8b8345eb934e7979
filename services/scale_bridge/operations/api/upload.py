"""Uploads the stored catalogue to a scale while the client waits (§1.1, 11)."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from libs.http.manifest import traffic
from services.scale_bridge.context import OPERATIONS_VISIBLE, Scales, Writer, own_device
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["upload"])


@router.post("/devices/{device_id}/upload", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def upload(scales: Scales, caller: Writer, device_id: int) -> Response:
    """Send the scale what differs from the stored catalogue, and read it back."""
    device = await own_device(scales, caller, device_id)
    full = scales.settings.clear_on_upload
    failed = await run_and_wait(scales, caller, device.device_id, Kind.UPLOAD, full=full)
    return failed if failed is not None else JSONResponse({"status": "ok"})
