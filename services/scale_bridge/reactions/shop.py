"""What the scales do when the shop announces something: they show what things cost."""

from typing import Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import PriceChanged, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.messaging.reaction import Reaction, Turn
from services.scale_bridge.handlers import price
from services.scale_bridge.handlers.desk import Desk

NAME: Final = "price"


def prices(desk: Desk, *, currency: str) -> Reaction[ShopEvent]:
    """Show a price once it is valid, unless a later one is by then."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        change: PriceChanged = envelope.event
        await price.change_price(desk, change, tenant=envelope.tenant, currency=currency)

    return Reaction(
        name=NAME,
        topics=(shop.PRICES,),
        codec=codec_of(shop.EVENTS),
        turn_of=_turn_of,
        react=react,
        latest_wins=True,
    )


def _turn_of(event: ShopEvent) -> Turn | None:
    return Turn(f"article {event.article}", event.valid_at)
