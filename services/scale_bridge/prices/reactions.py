"""What the scales do when the shop announces something: they show what things cost."""

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


def prices(context: Context, *, currency: str) -> Reaction[ShopEvent]:
    """Show a price once it is valid, unless a later one is by then."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        change: PriceChanged = envelope.event
        await price.change_price(
            context,
            change,
            tenant=envelope.tenant,
            currency=currency,
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


def announcements(context: Context, *, currency: str) -> Reaction[ShopEvent]:
    """Remember a price as soon as it is announced, so that people see what is to come."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        change: PriceChanged = envelope.event
        trace = envelope.correlation_id
        try:
            await price.remember(
                context, change, tenant=envelope.tenant, currency=currency, trace=trace
            )
        except BadFields:
            # It waits to be looked at where it is to be shown.
            log.info("no price", price=str(change.price_id))

    return Reaction(
        name=ANNOUNCED,
        topics=(shop.PRICES,),
        codec=codec_of(shop.EVENTS),
        schedule_of=lambda event: Schedule(f"price {event.price_id}", event.changed_at),
        react=react,
    )
