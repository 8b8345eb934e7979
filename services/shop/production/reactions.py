"""Reacts to orders: a paid one gets its tasks, one that is assembled or cancelled closes them."""

from typing import Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    OrderCancelled,
    OrderIssueReported,
    OrderPaymentReceived,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import caused_by
from libs.messaging.reaction import Reaction, Schedule
from services.shop.context import Context
from services.shop.production.handlers import order

NAME: Final = "order-tasks"


def tasks_of_orders(context: Context) -> Reaction[ShopEvent]:
    """Follow the state of orders with tasks. Each event leads to the state of now."""

    async def react(envelope: Envelope[ShopEvent]) -> None:
        number = getattr(envelope.event, "order_id", 0)
        await order.follow(context, number, caused_by(envelope))

    return Reaction(
        name=NAME,
        topics=(shop.ORDERS,),
        codec=codec_of(shop.EVENTS),
        schedule_of=_schedule_of,
        react=react,
    )


def _schedule_of(event: ShopEvent) -> Schedule | None:
    match event:
        case OrderStatusChanged(changed_at=at) | OrderPaymentReceived(received_at=at):
            return Schedule(f"order {event.order_id}", at)
        case OrderIssueReported(reported_at=at) | OrderCancelled(cancelled_at=at):
            return Schedule(f"order {event.order_id}", at)
        case OrderRolledBack(rolled_back_at=at):
            return Schedule(f"order {event.order_id}", at)
        case _:
            return None
