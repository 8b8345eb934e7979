"""Reacts to prices of the shop: stores them at once, and applies them when they become valid."""

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

    Until then clients see that it is coming.
    """

    async def store(connection: Any, envelope: Envelope[PriceChanged]) -> None:
        try:
            await price.store_price(
                connection,
                envelope.event,
                tenant=envelope.tenant,
                currency=context.settings.currency,
                trace=envelope.correlation_id,
            )
        except BadFields:
            # It is parked when it is to be applied.
            return

    async def react(envelope: Envelope[PriceChanged]) -> None:
        await price.change_price(
            context,
            envelope.event,
            tenant=envelope.tenant,
            trace=envelope.correlation_id,
        )

    return Reaction(
        name=NAME,
        topics=(shop.PRICES,),
        codec=codec_of((PriceChanged,)),
        schedule_of=lambda event: Schedule(f"article {event.article}", event.valid_at),
        react=react,
        on_received=store,
        latest_wins=True,
    )
