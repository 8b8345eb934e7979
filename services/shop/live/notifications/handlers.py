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
    text = f"Новый заказ № {order.number} с сайта на {total} тенге"
    number = order.order_id
    await _request(context, f"order-{number}", STOREFRONT_ORDER, text, metadata, order_id=number)


async def announce_address(
    context: Context, order_id: int, event_id: UUID, metadata: Metadata
) -> None:
    """Request the notification that a customer changed the address or the recipient of an order.

    `event_id` is that of the change. Safe to repeat. Raises Unavailable.
    """
    history = await context.store.read(metadata.tenant, ORDER.stream(order_id))
    [placed] = [one for one in history.events if isinstance(one, OrderPlaced)]
    text = f"Клиент изменил адрес или получателя заказа № {placed.number}"
    notification = f"address-{event_id}"
    await _request(context, notification, ADDRESS_CHANGED, text, metadata, order_id=order_id)


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
        notification = f"date-{one.date_id}-{one.year}"
        text = f"Скоро важная дата клиента № {customer_id}"
        await _request(
            context, notification, IMPORTANT_DATE, text, metadata, customer_id=customer_id
        )
    if due:
        # The next year's timer follows from this change.
        years = {one.date_id: one.year for one in due}
        change = partial(with_reminded, years=years)
        await customers.change(context, customer_id, change, metadata)


async def _request(
    context: Context,
    notification: str,
    kind: str,
    text: str,
    metadata: Metadata,
    *,
    order_id: int | None = None,
    customer_id: int | None = None,
) -> None:
    requested = NotificationRequested(
        notification=notification,
        kind=kind,
        roles=ROLES,
        text=text,
        order_id=order_id,
        customer_id=customer_id,
        requested_at=context.clock(),
    )
    command = RequestNotification(requested)
    await execute(context.store, NOTIFICATION, notification, command, metadata=metadata)
