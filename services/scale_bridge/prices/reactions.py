"""Reacts to prices of the shop: stores them at once, and applies them when they become valid."""

from contextlib import suppress
from typing import Any, Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import PriceChanged
from libs.eventsourcing.codec import codec_of
from libs.messaging.reaction import Reaction, Schedule
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.context import Context
from services.scale_bridge.prices import handlers as price

NAME: Final = "price"


def prices(context: Context) -> Reaction[PriceChanged]:
    """Apply a price once it is valid, unless a later one is valid by then.

    Until then clients see that it is coming. Of several tenants whose scales follow the shop, each
    gets it, also if scales of another cannot take it.
    """
    settings = context.settings

    async def store(connection: Any, envelope: Envelope[PriceChanged]) -> None:
        event, trace = envelope.event, envelope.correlation_id
        # One that cannot be stored is parked when it is to be applied.
        with suppress(BadFields):
            for tenant in settings.followers(envelope.tenant):
                await price.store_price(
                    connection, event, tenant=tenant, currency=settings.currency, trace=trace
                )

    async def react(envelope: Envelope[PriceChanged]) -> None:
        event, trace, refused = envelope.event, envelope.correlation_id, None
        for tenant in settings.followers(envelope.tenant):
            try:
                await price.change_price(context, event, tenant=tenant, trace=trace)
            except BadFields as error:
                refused = error
        if refused is not None:
            raise refused

    return Reaction(
        name=NAME,
        topics=(shop.PRICES,),
        codec=codec_of((PriceChanged,)),
        schedule_of=lambda event: Schedule(f"article {event.article}", event.valid_at),
        react=react,
        on_received=store,
        latest_wins=True,
    )
