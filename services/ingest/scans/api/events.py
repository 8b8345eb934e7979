"""The requests of devices: batches of events, and which of them are stored."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from libs.errors import Unavailable
from libs.eventsourcing.log import LogUnavailable
from libs.http.auth import Principal, require
from libs.http.lean_route import LeanRoute
from libs.http.manifest import traffic
from libs.http.metadata import request_metadata
from libs.http.visible import CONSISTENCY, visible
from services.ingest.context import Deps, Ingest
from services.ingest.scans.api import bodies
from services.ingest.scans.api.responses import Batch, Verified, json_response
from services.ingest.scans.handlers import scan
from services.ingest.scans.handlers.body import LARGE_BODY, BadRequest, read_uuids

router = APIRouter(prefix="/api/v1/events", tags=["events"], route_class=LeanRoute)

LONG_BODIES: Final = ("/api/v1/events/batch", "/api/v1/events/verify")
"""The paths whose large bodies are split; all other bodies are decoded at once."""

Device = Annotated[Principal, Depends(require("scan:write"))]
UNTIL_VISIBLE: Final = visible(
    *("activity", "presence", "scan_log", "box"),
    within=lambda ingest: ingest.settings.visible_wait_seconds,
)


@router.post("/batch", openapi_extra=bodies.BATCH, dependencies=[UNTIL_VISIBLE])
@traffic("ingest")
async def batch(request: Request, ingest: Ingest, device: Device) -> Response:
    """Store up to 100 events (§2.3). 200 means: every one of them is durable, fit or not.

    The body is JSON whatever the content type says. 422 if it is no batch at all.
    """
    body = await request.body()
    try:
        async with _large_body_slot(body, ingest):
            recorded = await scan.record_batch(
                ingest.store,
                body,
                metadata=request_metadata(request, device),
                received_at=ingest.clock(),
                not_before=ingest.settings.plausible_from,
            )
    except BadRequest as error:
        raise HTTPException(422, error.details) from None
    except LogUnavailable as error:
        raise Unavailable from error
    result = Batch(
        ok=True,
        inserted=recorded.inserted,
        skipped=len(recorded.duplicates),
        duplicates=recorded.duplicates,
        errors=recorded.errors,
    )
    return json_response(result, {CONSISTENCY: recorded.token})


@router.post("/verify", openapi_extra=bodies.VERIFY)
@traffic("ingest")
async def verify(request: Request, ingest: Ingest, device: Device) -> Response:
    """Say which of up to 1000 uuids are stored or in quarantine (§2.4), as they were spelled."""
    body = await request.body()
    try:
        async with _large_body_slot(body, ingest):
            uuids = await read_uuids(body)
        present = await scan.verify(ingest.store, device.tenant, uuids)
    except BadRequest as error:
        raise HTTPException(422, error.details) from None
    except LogUnavailable as error:
        raise Unavailable from error
    return json_response(Verified(True, present))


def _large_body_slot(body: bytes, ingest: Deps) -> AbstractAsyncContextManager[None]:
    return nullcontext() if len(body) <= LARGE_BODY else ingest.large_bodies.hold(len(body))
