"""Managers are notified of what customers do with orders, and of their important dates."""

from typing import Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import OrderAddressChanged, OrderPlaced, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import Metadata, caused_by
from libs.jobs.timers import Timer
from libs.jobs.worker import Worker
from libs.messaging.reaction import Reaction, Schedule
from services.shop.context import IMPORT, Context
from services.shop.live.notifications import handlers
from services.shop.live.notifications.read_models import REMINDERS, Payload

NAME: Final = "order-notification"
STOREFRONT: Final = "storefront"


def order_notifications(context: Context) -> Reaction[ShopEvent]:
    """Request a notification of each order of the storefront, and of each address that changes."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        metadata = caused_by(envelope)
        match envelope.event:
            case OrderPlaced() as order:
                await handlers.announce_order(context, order, metadata)
            case OrderAddressChanged(order_id=order_id):
                await handlers.announce_address(context, order_id, envelope.event_id, metadata)
            case _:
                pass

    return Reaction(
        name=NAME,
        topics=(shop.ORDERS,),
        codec=codec_of(shop.EVENTS),
        schedule_of=_schedule_of,
        react=react,
    )


def _schedule_of(event: ShopEvent) -> Schedule | None:
    match event:
        case OrderPlaced(source=source, placed_by=by) if source == STOREFRONT and by != IMPORT:
            return Schedule(f"order {event.order_id}", event.placed_at)
        case OrderAddressChanged(changed_at=at):
            return Schedule(f"order {event.order_id}", at)
        case _:
            return None


def reminding(context: Context) -> Worker[Timer]:
    """The worker of the timers of customers' important dates."""

    async def fire(timer: Timer) -> None:
        after = timer.payload_as(Payload).after
        await handlers.remind(context, int(timer.key), after, Metadata(tenant=timer.tenant))

    return REMINDERS.worker(context, fire)
