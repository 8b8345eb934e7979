"""Reacts to orders of the storefront and to timers of important dates: managers are notified."""

from typing import Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import OrderPlaced, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import Metadata
from libs.jobs.timers import Timer
from libs.jobs.worker import Worker
from libs.messaging.reaction import Reaction, Schedule
from services.shop.context import Context
from services.shop.notifications import handlers
from services.shop.notifications.read_models import REMINDERS, Payload

NAME: Final = "storefront-order"
STOREFRONT: Final = "storefront"


def storefront_orders(context: Context) -> Reaction[ShopEvent]:
    """Request the notification of each order of the storefront, once."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        if isinstance(envelope.event, OrderPlaced):
            metadata = Metadata(
                tenant=envelope.tenant,
                actor=envelope.actor,
                correlation_id=envelope.correlation_id,
                causation_id=str(envelope.event_id),
                traceparent=envelope.traceparent,
            )
            await handlers.announce_order(context, envelope.event, metadata)

    return Reaction(
        name=NAME,
        topics=(shop.ORDERS,),
        codec=codec_of(shop.EVENTS),
        schedule_of=_schedule_of,
        react=react,
    )


def _schedule_of(event: ShopEvent) -> Schedule | None:
    if not isinstance(event, OrderPlaced) or event.source != STOREFRONT:
        return None
    return Schedule(f"order {event.order_id}", event.placed_at)


def reminding(context: Context) -> Worker[Timer]:
    """The worker of the timers of customers' important dates."""

    async def fire(timer: Timer) -> None:
        after = timer.payload_as(Payload).after
        await handlers.remind(context, int(timer.key), after, Metadata(tenant=timer.tenant))

    return REMINDERS.worker(context, fire)
