"""Notifications: what members of a shop are to learn outside of its pages.

The gateway sends them, since it knows the members' chats. They hold no personal data: a text names
an order or a customer by number, and its reader looks there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

NOTIFICATIONS: Final = "shop.notification"


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationRequested:
    """The active members with one of the `roles` are to get a message, once.

    `notification` is its id in the shop, also the id of the stream: what happens twice is requested
    once. `kind` is `storefront_order`, `address_changed` or `important_date`.
    """

    notification: str
    kind: str
    roles: tuple[str, ...]
    text: str
    order_id: int | None
    customer_id: int | None
    requested_at: datetime
