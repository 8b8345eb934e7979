"""What an order says of persons, in the clear: never for logs or events (spec shop §3)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Who ordered, who receives it, where, and what the card says. Phones are E.164."""

    customer_phone: str
    recipient_phone: str | None = None
    recipient_name: str | None = None
    address: str | None = None
    card_text: str | None = None
    delivery_time_text: str | None = None


def subject_id(order_id: int) -> str:
    """The subject of the key that seals what an order says of persons."""
    return f"order-{order_id}"
