"""What an order says of persons: sealed with the key of the order, and opened."""

from collections.abc import Mapping
from typing import Any

from contracts.envelope import Sealed
from libs.security.data_keys import Subject, text_of
from services.shop.context import Context
from services.shop.orders.domain.contact import CONTACT, Contact, subject_id
from services.shop.orders.domain.order import Order, OrderUnknown


def subject_of(tenant: str, order_id: int) -> Subject:
    """Whose key seals what an order says of persons."""
    return Subject(tenant, subject_id(order_id))


async def seal(context: Context, tenant: str, order_id: int, text: str | None) -> Sealed | None:
    """A text about the persons of an order, sealed; None for none. Raises Forgotten."""
    return await context.vault.seal(subject_of(tenant, order_id), text) if text else None


async def seal_all(
    context: Context,
    tenant: str,
    order_id: int,
    texts: Mapping[str, str | None],
    *,
    is_new: bool = False,
) -> dict[str, Any]:
    """Texts by name, as `seal`; `is_new` says that the order has no key yet."""
    key = await context.vault.key_for(subject_of(tenant, order_id), is_new=is_new)
    return {name: key.seal(text or None) for name, text in texts.items()}


async def open_contact(context: Context, tenant: str, order: Order) -> Contact:
    """What an order says of persons. Raises OrderUnknown, also if they were forgotten."""
    subject, details = subject_of(tenant, order.order_id), order.placed
    opened = await context.vault.open_many([(subject, getattr(details, name)) for name in CONTACT])
    texts: dict[str, Any] = dict(zip(CONTACT, map(text_of, opened), strict=True))
    if texts["customer_phone"] is None:
        raise OrderUnknown
    return Contact(**texts)
