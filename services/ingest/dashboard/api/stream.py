"""The dashboard as it changes, without asking again: server-sent events.

First an event `state`, then events `cells` (see `dashboard.api.cells`). A new `state` comes
whenever cells cannot say it: after midnight, if no date was asked for, and to whoever comes back
after too long or to another process.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from libs.http.auth import Principal
from services.ingest.context import Deps, Ingest
from services.ingest.dashboard.api.live import Live
from services.ingest.dashboard.api.subscription import Subscription
from services.ingest.scans.api.query_params import Reader, Written
from services.ingest.scans.domain.day import BadDate

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

RETRY_MS: Final = 2000
LOOK_SECONDS: Final = 0.5
"""How often a stream looks whether the process is about to end."""


async def watching(
    request: Request, reader: Reader, filters: Written
) -> AsyncIterator[Subscription]:
    """The watch, held until the answer is over. 503 if there are too many."""
    live: Live = request.app.state.live
    try:
        async with live.watching(reader.tenant, filters) as watch:
            yield watch
    except BadDate as error:
        raise HTTPException(400, str(error)) from None


# Not by the framework's own writing of events, which would say the same anew to every listener.
@router.get(
    "/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}}
)
async def stream(
    request: Request,
    ingest: Ingest,
    reader: Reader,
    watch: Annotated[Subscription, Depends(watching)],
    last_event_id: str | None = None,
    last_seen: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The state, then what changes in it, until a time that is set; then come back.

    It ends with the session of who asked, too. Whoever names the last event they had gets what
    changed since.
    """
    known = watch.known(last_seen or last_event_id)
    # Nothing on the way may gather the events up; the tolerant app forbids keeping them.
    return EventSourceResponse(
        _events(request, ingest, reader, watch, known), headers={"X-Accel-Buffering": "no"}
    )


async def _events(
    request: Request, ingest: Deps, reader: Principal, watch: Subscription, known: int | None
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, ingest.settings
    ends_at = time() + settings.stream_lifetime_seconds
    yield format_sse_event(retry=RETRY_MS)
    said_at = time()
    while time() < ends_at and not request.app.state.draining:
        if ingest.revocations.is_revoked(reader.session):
            return
        event, known = watch.since(known), watch.number
        if not event and time() >= said_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            said_at = time()
        if known == watch.number:
            await watch.wait_changed(min(LOOK_SECONDS, settings.stream_heartbeat_seconds))
