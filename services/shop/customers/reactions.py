"""Reacts to customers who are forgotten: what a crash left in between is completed."""

from typing import Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import CustomerForgotten, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import Metadata
from libs.files.files import open_files
from libs.messaging.reaction import Reaction, Schedule
from services.shop.context import Context
from services.shop.customers import handlers

NAME: Final = "customer-forgotten"


def forgotten_customers(context: Context) -> Reaction[ShopEvent]:
    """Destroy the keys of each forgotten customer, if that is not done yet."""
    files = open_files(context.settings, context.system)

    async def react(envelope: Envelope[ShopEvent]) -> None:
        if isinstance(event := envelope.event, CustomerForgotten):
            metadata = Metadata(tenant=envelope.tenant, actor=envelope.actor)
            customers = (event.customer_id, *event.merged)
            await handlers.destroy(context, files, customers, event.orders, metadata)

    return Reaction(
        name=NAME,
        topics=(shop.CUSTOMERS,),
        codec=codec_of(shop.EVENTS),
        schedule_of=_schedule_of,
        react=react,
    )


def _schedule_of(event: ShopEvent) -> Schedule | None:
    if not isinstance(event, CustomerForgotten):
        return None
    return Schedule(f"customer {event.customer_id}", event.forgotten_at)
