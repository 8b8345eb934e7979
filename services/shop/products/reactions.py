"""Reacts to shops registered at the gateway: a new shop begins with a name and some products."""

from typing import Final

import msgspec

from contracts import gateway
from contracts.envelope import Envelope
from contracts.gateway import GatewayEvent, ShopRegistered
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import caused_by
from libs.messaging.reaction import Reaction, Schedule
from services.shop.company import handlers as company
from services.shop.context import Context
from services.shop.products import handlers

NAME: Final = "registration"


def registrations(context: Context) -> Reaction[GatewayEvent]:
    """Set a new shop up, once. The facts are the platform's: they name the shop's tenant."""

    async def react(envelope: Envelope[GatewayEvent]) -> None:
        shop = envelope.event
        if not isinstance(shop, ShopRegistered):
            return
        author = {"tenant": shop.tenant, "actor": str(shop.account_id)}
        metadata = msgspec.structs.replace(caused_by(envelope), **author)
        await company.name_company(context, shop.name, metadata)
        await handlers.add_starters(context, metadata)

    return Reaction(
        name=NAME,
        topics=(gateway.SHOPS,),
        codec=codec_of(gateway.EVENTS),
        schedule_of=_schedule_of,
        react=react,
    )


def _schedule_of(event: GatewayEvent) -> Schedule | None:
    if not isinstance(event, ShopRegistered):
        return None
    return Schedule(f"shop {event.number}", event.registered_at)
