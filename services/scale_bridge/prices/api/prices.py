"""HTTP of the delivery of prices, scale by scale; once, or as a stream (SCL-16)."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from msgspec import Raw

from libs.errors import NotFound, Unavailable
from libs.http.auth import Principal
from libs.http.live import STREAM, Event, EventStream, LiveQuery
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import ApiContext, Reader, Scales, fresh
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.api.delivery import Announced, Delivery, delivery_of
from services.scale_bridge.prices.read_models import price_delivery

router = APIRouter(tags=["prices"])

FRESH: Final = fresh("drift", "operation", "shown", "device")

Article = Annotated[int, Path(ge=1, lt=10**18)]


class PriceUnknown(NotFound):
    """Price not found"""


@router.get("/prices/deliveries", dependencies=[FRESH])
async def of_price(scales: Scales, caller: Reader, price_id: Annotated[UUID, Query()]) -> Delivery:
    """The delivery of a price to the caller's scales, by number; also of one that was replaced."""
    async with tenant_connection(scales.reading, caller.tenant) as connection:
        stored = await prices.one(connection, caller.tenant, price_id)
        price = stored or await price_delivery.price_of(connection, caller.tenant, price_id)
        if price is None:
            raise PriceUnknown
        return await delivery_of(connection, caller, price, scales.clock())


@router.get("/prices/{article}/delivery", dependencies=[FRESH])
async def of_article(scales: Scales, caller: Reader, article: Article) -> Delivery:
    """The delivery of the valid price of an article; without one, of its next price."""
    return await _of_article(scales, caller, article)


@router.get("/prices/{article}/delivery/stream", **STREAM)
async def stream(scales: Scales, caller: Reader, article: Article) -> Response:
    """The delivery of a price as a stream: an event `delivery` for every change."""
    await _of_article(scales, caller, article)
    return EventStream(LiveDelivery(scales, caller, article), caller)


class LiveDelivery(LiveQuery[str]):
    """The delivery of an article's price, as JSON."""

    max_states = 1

    def __init__(self, scales: ApiContext, caller: Principal, article: int) -> None:
        self._scales, self._caller, self._article = scales, caller, article
        self.key = caller.tenant, caller.subject, article

    async def load(self, *, changed: bool) -> str | None:
        """The delivery; None while the database is unavailable, or without a price."""
        try:
            delivery = await _of_article(self._scales, self._caller, self._article)
        except (Unavailable, PriceUnknown):
            return None
        return delivery.model_dump_json()

    def event(self, old: str | None, new: str) -> Event | None:
        """`delivery` with all of it."""
        return ("delivery", Raw(new.encode())) if new != old else None


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
