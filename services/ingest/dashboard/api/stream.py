"""The dashboard as a stream of server-sent events.

The first event is `state`, the following ones are `cells` (see `state_diff`). Another `state` is
sent when cells cannot express the change: after midnight, if the query has no date, and to a
client that reconnects too late or to another process.
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
from services.ingest.scans.api.query_params import FilterParams, Reader
from services.ingest.scans.domain.day import BadDate

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

RETRY_MS: Final = 2000
DRAIN_CHECK_SECONDS: Final = 0.5
"""How often a stream checks whether the process is shutting down."""


async def subscription(
    request: Request, reader: Reader, filters: FilterParams
) -> AsyncIterator[Subscription]:
    """The subscription of a request until its response ends. 503 at `max_streams`."""
    live: Live = request.app.state.live
    try:
        async with live.subscribe(reader.tenant, filters) as subscribed:
            yield subscribed
    except BadDate as error:
        raise HTTPException(400, str(error)) from None


# Not with the framework's own event responses: they would encode each event for every viewer.
@router.get(
    "/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}}
)
async def stream(
    request: Request,
    ingest: Ingest,
    reader: Reader,
    subscribed: Annotated[Subscription, Depends(subscription)],
    last_event_id: str | None = None,
    last_seen: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The state and then its changes, as server-sent events; reconnect when the stream ends.

    It ends after a configured time, and with the caller's session. With the id of the last event,
    in `Last-Event-ID` or `last_event_id`, it continues from there.
    """
    number = subscribed.state_number(last_seen or last_event_id)
    # No proxy may buffer the events; `path_normalizer` forbids caching them.
    return EventSourceResponse(
        _events(request, ingest, reader, subscribed, number), headers={"X-Accel-Buffering": "no"}
    )


async def _events(
    request: Request,
    ingest: Deps,
    reader: Principal,
    subscribed: Subscription,
    number: int | None,
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, ingest.settings
    ends_at = time() + settings.stream_lifetime_seconds
    yield format_sse_event(retry=RETRY_MS)
    sent_at = time()
    while time() < ends_at and not request.app.state.draining:
        if ingest.revocations.is_revoked(reader.session):
            return
        event, number = subscribed.since(number), subscribed.number
        if not event and time() >= sent_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            sent_at = time()
        if number == subscribed.number:
            await subscribed.wait_changed(
                min(DRAIN_CHECK_SECONDS, settings.stream_heartbeat_seconds)
            )
