"""Reacts to prices of the shop: stores them at once, and applies them when they become valid."""

from typing import Final

import structlog

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import PriceChanged, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.messaging.reaction import Reaction, Schedule
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.context import Context
from services.scale_bridge.prices import handlers as price

NAME: Final = "price"
ANNOUNCED: Final = "price-heard"

log = structlog.get_logger(__name__)


def prices(context: Context) -> Reaction[ShopEvent]:
    """Apply a price once it is valid, unless a later one is valid by then."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        change: PriceChanged = envelope.event
        await price.change_price(
            context,
            change,
            tenant=envelope.tenant,
            trace=envelope.correlation_id,
        )

    return Reaction(
        name=NAME,
        topics=(shop.PRICES,),
        codec=codec_of(shop.EVENTS),
        schedule_of=lambda event: Schedule(f"article {event.article}", event.valid_at),
        react=react,
        latest_wins=True,
    )


def announcements(context: Context) -> Reaction[ShopEvent]:
    """Store a price as soon as it is announced: clients see which prices are coming."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        change: PriceChanged = envelope.event
        trace = envelope.correlation_id
        try:
            await price.store_price(context, change, tenant=envelope.tenant, trace=trace)
        except BadFields:
            # The reaction `prices` parks the same announcement.
            log.info("no price", price=str(change.price_id))

    return Reaction(
        name=ANNOUNCED,
        topics=(shop.PRICES,),
        codec=codec_of(shop.EVENTS),
        schedule_of=lambda event: Schedule(f"price {event.price_id}", event.changed_at),
        react=react,
    )
