"""What an order says of persons, in the clear: never for logs or events (spec shop §3)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from services.shop.customers.domain.person import normal_phone


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Who ordered, who receives it, where, and what the card says. Phones are E.164."""

    customer_phone: str
    recipient_phone: str | None = None
    recipient_name: str | None = None
    address: str | None = None
    card_text: str | None = None
    delivery_time_text: str | None = None


CONTACT: Final = tuple(one.name for one in fields(Contact))
"""The fields of a contact, which are sealed fields of `OrderDetails`."""


def normal(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Fields of a contact, the phones from any usual spelling. Raises BadPhone."""
    phones = ("customer_phone", "recipient_phone")
    return {
        name: normal_phone(text) if text and name in phones else text
        for name, text in given.items()
    }


def subject_id(order_id: int) -> str:
    """The subject of the key that seals what an order says of persons."""
    return f"order-{order_id}"
