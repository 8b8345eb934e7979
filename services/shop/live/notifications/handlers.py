"""Requesting notifications: each once, however often its reason is reported."""

from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from contracts.shop import NotificationRequested, OrderPlaced
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from services.shop.context import Context
from services.shop.customers import handlers as customers
from services.shop.customers.domain.person import CustomerUnknown, with_reminded
from services.shop.live.notifications.domain import (
    NOTIFICATION,
    ROLES,
    RequestNotification,
    reminders,
)
from services.shop.orders.domain.decisions import ORDER

STOREFRONT_ORDER: Final = "storefront_order"
ADDRESS_CHANGED: Final = "address_changed"
IMPORTANT_DATE: Final = "important_date"


async def announce_order(context: Context, order: OrderPlaced, metadata: Metadata) -> None:
    """Request the notification of an order of the storefront. Safe to repeat.

    Raises Unavailable.
    """
    total = order.flower_sum + order.delivery_fee
    notification = NotificationRequested(
        notification=f"order-{order.order_id}",
        kind=STOREFRONT_ORDER,
        roles=ROLES,
        text=f"Новый заказ № {order.number} с сайта на {total} тенге",
        order_id=order.order_id,
        customer_id=None,
        requested_at=context.clock(),
    )
    await _request(context, notification, metadata)


async def announce_address(
    context: Context, order_id: int, event_id: UUID, metadata: Metadata
) -> None:
    """Request the notification that a customer changed the address or the recipient of an order.

    `event_id` is that of the change. Safe to repeat. Raises Unavailable.
    """
    history = await context.store.read(metadata.tenant, ORDER.stream(order_id))
    [placed] = [one for one in history.events if isinstance(one, OrderPlaced)]
    notification = NotificationRequested(
        notification=f"address-{event_id}",
        kind=ADDRESS_CHANGED,
        roles=ROLES,
        text=f"Клиент изменил адрес или получателя заказа № {placed.number}",
        order_id=order_id,
        customer_id=None,
        requested_at=context.clock(),
    )
    await _request(context, notification, metadata)


async def remind(context: Context, customer_id: int, after: datetime, metadata: Metadata) -> None:
    """Request the reminders of a customer that are due, of dates on the day of `after` or later.

    The customer's record says which were; a customer who is unknown by now has none. Safe to
    repeat. Raises VersionConflict, Unavailable.
    """
    try:
        person = await customers.load(context, metadata.tenant, customer_id)
    except CustomerUnknown:
        return
    now = context.clock()
    due = [one for one in reminders(person.dates, after, context.settings.zone) if one.at <= now]
    for one in due:
        notification = NotificationRequested(
            notification=f"date-{one.date_id}-{one.year}",
            kind=IMPORTANT_DATE,
            roles=ROLES,
            text=f"Скоро важная дата клиента № {customer_id}",
            order_id=None,
            customer_id=customer_id,
            requested_at=now,
        )
        await _request(context, notification, metadata)
    if due:
        # The next year's timer follows from this change.
        years = {one.date_id: one.year for one in due}
        change = partial(with_reminded, years=years)
        await customers.change(context, customer_id, change, metadata)


async def _request(
    context: Context, notification: NotificationRequested, metadata: Metadata
) -> None:
    command = RequestNotification(notification)
    await execute(
        context.store, NOTIFICATION, notification.notification, command, metadata=metadata
    )
