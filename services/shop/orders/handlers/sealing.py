"""What an order says of persons: sealed with the key of the order, and opened."""

import msgspec

from contracts.envelope import Sealed
from contracts.shop import OrderDetails
from libs.security.data_keys import Subject, text_of
from services.shop.context import ApiContext, Context
from services.shop.orders.domain.contact import Contact, subject_id
from services.shop.orders.domain.order import OrderUnknown


def subject_of(tenant: str, order_id: int) -> Subject:
    """Whose key seals what an order says of persons."""
    return Subject(tenant, subject_id(order_id))


async def seal(context: Context, tenant: str, order_id: int, text: str | None) -> Sealed | None:
    """A text about the persons of an order, sealed; None for none. Raises Forgotten."""
    if not text:
        return None
    return await context.vault.seal(subject_of(tenant, order_id), text)


async def open_contact(
    context: ApiContext, tenant: str, order_id: int, details: OrderDetails
) -> Contact:
    """What an order says of persons. Raises OrderUnknown if they were forgotten."""
    opened = await context.vault.open(subject_of(tenant, order_id), details.contact)
    if (text := text_of(opened)) is None:
        raise OrderUnknown
    return msgspec.json.decode(text, type=Contact)


async def seal_contact(
    context: ApiContext, tenant: str, order_id: int, contact: Contact, *, is_new: bool = False
) -> Sealed:
    """The contact, sealed. Raises Forgotten."""
    text = msgspec.json.encode(contact).decode()
    return await context.vault.seal(subject_of(tenant, order_id), text, is_new=is_new)
