"""Sending the copy to the scale (§1.1, 11)."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from services.scale_bridge.context import WORKED, Scales, Writer, own
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["upload"])


@router.post("/devices/{device_id}/upload", dependencies=[WORKED])
async def upload(scales: Scales, caller: Writer, device_id: int) -> Response:
    """Have the scale show the copy: what differs is sent, and then read back."""
    found = await own(scales, caller, device_id)
    full = scales.settings.clear_on_upload
    failed = await run_and_wait(scales, caller, found.device_id, Kind.UPLOAD, full=full)
    return failed if failed is not None else JSONResponse({"status": "ok"})
