"""Where a price of the shop has arrived, scale by scale; once, or as it goes on (SCL-16)."""

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
from services.scale_bridge.monitoring.api.live import Key
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.api.delivery import Delivery, announced, delivery_of, plain
from services.scale_bridge.prices.read_models import delivery

router = APIRouter(tags=["prices"])

LOOKED_AT: Final = ("drift", "operation", "shown", "device")

Article = Annotated[int, Path(ge=1, lt=10**18)]


class PriceUnknown(NotFound):
    """Price not found"""


@router.get("/prices/deliveries")
async def of_price(
    response: Response, scales: Scales, caller: Reader, price_id: Annotated[UUID, Query()]
) -> Delivery:
    """Where a price is, the caller's scales by number; also one that was overtaken since."""
    await _fresh(response, scales, caller)
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        said = await prices.one(connection, caller.tenant, price_id)
        found = (
            plain(said) if said else await delivery.price_of(connection, caller.tenant, price_id)
        )
        if found is None:
            raise PriceUnknown
        return await delivery_of(connection, caller, found, scales.clock())


@router.get("/prices/{article}/delivery")
async def of_article(
    response: Response, scales: Scales, caller: Reader, article: Article
) -> Delivery:
    """Where the last price of an article is; before any is valid, the first that will be."""
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
    """The same as events `delivery`, a new one whenever something changed."""
    await _of_article(scales, caller, article)
    events = _events(request, scales, caller, article)
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


async def _events(
    request: Request, scales: ApiContext, caller: Principal, article: int
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, scales.settings
    hub: Hub = request.app.state.live.hub
    ends_at, said_at, known = time() + settings.stream_lifetime_seconds, time(), ""
    round_, looked_at = -1, 0.0
    yield format_sse_event(retry=RETRY_MS)
    while time() < ends_at and not request.app.state.draining:
        if scales.revocations.is_revoked(caller.session):
            return
        event = b""
        if hub.round != round_ or time() - looked_at >= settings.stream_idle_seconds:
            round_, looked_at = hub.round, time()
            if (now := await _delivery(scales, caller, article)) not in (None, known):
                event, known = format_sse_event(event="delivery", data_str=now), now
        if not event and time() >= said_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            said_at = time()
        await hub.wait(round_, min(POLL_SECONDS, settings.stream_heartbeat_seconds))


async def _delivery(scales: ApiContext, caller: Principal, article: int) -> str | None:
    """As JSON; None if there is none now, for those who watch wait for better times."""
    try:
        return (await _of_article(scales, caller, article)).model_dump_json()
    except (Unavailable, PriceUnknown):
        return None


async def _of_article(scales: ApiContext, caller: Principal, article: int) -> Delivery:
    now = scales.clock()
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        current = await prices.current(connection, caller.tenant, [article], now)
        coming = await prices.coming(connection, caller.tenant, article, now)
        said = current.get(article) or next(iter(coming), None)
        if said is None:
            raise PriceUnknown
        found = await delivery_of(connection, caller, plain(said), now)
    later = [announced(one) for one in coming if one != said]
    return found.model_copy(update={"coming": later})


async def _fresh(response: Response, scales: ApiContext, caller: Principal) -> None:
    """Wait, for a bounded time, for what was told already; say so if it is not all there."""
    caught_up = partial(scales.consistency.caught_up, tenant=caller.tenant)
    fresh = await asyncio.gather(*map(caught_up, LOOKED_AT))
    if not all(fresh):
        response.headers[STALE] = "1"
