"""HTTP of the delivery of prices, scale by scale; once, or as a stream (SCL-16)."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from libs.errors import NotFound, Unavailable
from libs.http.auth import Principal
from libs.http.hub import Hub
from libs.http.visible import STALE
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import ApiContext, Reader, Scales
from services.scale_bridge.monitoring.api.board import POLL_SECONDS, RETRY_MS, watching
from services.scale_bridge.monitoring.api.board_feed import Key
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.api.delivery import Announced, Delivery, delivery_of
from services.scale_bridge.prices.read_models import price_delivery

router = APIRouter(tags=["prices"])

READ_MODELS: Final = ("drift", "operation", "shown", "device")

Article = Annotated[int, Path(ge=1, lt=10**18)]


class PriceUnknown(NotFound):
    """Price not found"""


@router.get("/prices/deliveries")
async def of_price(
    response: Response, scales: Scales, caller: Reader, price_id: Annotated[UUID, Query()]
) -> Delivery:
    """The delivery of a price to the caller's scales, by number; also of one that was replaced."""
    await _fresh(response, scales, caller)
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        stored = await prices.one(connection, caller.tenant, price_id)
        price = stored or await price_delivery.price_of(connection, caller.tenant, price_id)
        if price is None:
            raise PriceUnknown
        return await delivery_of(connection, caller, price, scales.clock())


@router.get("/prices/{article}/delivery")
async def of_article(
    response: Response, scales: Scales, caller: Reader, article: Article
) -> Delivery:
    """The delivery of the valid price of an article; without one, of its next price."""
    await _fresh(response, scales, caller)
    return await _of_article(scales, caller, article)


@router.get(
    "/prices/{article}/delivery/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request,
    scales: Scales,
    caller: Reader,
    article: Article,
    _: Annotated[Key, Depends(watching)],
) -> Response:
    """The delivery of a price as a stream: an event `delivery` for every change."""
    await _of_article(scales, caller, article)
    events = _events(request, scales, caller, article)
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


async def _events(
    request: Request, scales: ApiContext, caller: Principal, article: int
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, scales.settings
    hub: Hub = request.app.state.board_feed.hub
    ends_at, sent_at, known = time() + settings.stream_lifetime_seconds, time(), ""
    round_, queried_at = -1, 0.0
    yield format_sse_event(retry=RETRY_MS)
    while time() < ends_at and not request.app.state.draining:
        if scales.revocations.is_revoked(caller.session):
            return
        event = b""
        if hub.round != round_ or time() - queried_at >= settings.stream_idle_seconds:
            round_, queried_at = hub.round, time()
            if (now := await _delivery(scales, caller, article)) not in (None, known):
                event, known = format_sse_event(event="delivery", data_str=now), now
        if not event and time() >= sent_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            sent_at = time()
        await hub.wait(round_, min(POLL_SECONDS, settings.stream_heartbeat_seconds))


async def _delivery(scales: ApiContext, caller: Principal, article: int) -> str | None:
    """The delivery as JSON; None while the database is unavailable, or without a price."""
    try:
        return (await _of_article(scales, caller, article)).model_dump_json()
    except (Unavailable, PriceUnknown):
        return None


async def _of_article(scales: ApiContext, caller: Principal, article: int) -> Delivery:
    now = scales.clock()
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        current = await prices.current(connection, caller.tenant, [article], now)
        coming = await prices.coming(connection, caller.tenant, article, now)
        price = current.get(article) or next(iter(coming), None)
        if price is None:
            raise PriceUnknown
        answer = await delivery_of(connection, caller, price, now)
    later = [Announced.model_validate(one) for one in coming if one != price]
    return answer.model_copy(update={"coming": later})


async def _fresh(response: Response, scales: ApiContext, caller: Principal) -> None:
    """Wait for a bounded time until the read models have all events; else mark the answer stale."""
    caught_up = partial(scales.consistency.caught_up, tenant=caller.tenant)
    fresh = await asyncio.gather(*map(caught_up, READ_MODELS))
    if not all(fresh):
        response.headers[STALE] = "1"
