"""The states of an order, the moves between them, and the stock that each holds (spec shop §5)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from libs.errors import BadRequest, Refused


class Status(StrEnum):
    """The wire values."""

    NEW = "new"
    PAID = "paid"
    ASSEMBLED = "assembled"
    DELIVERY = "delivery"
    SELF_PICKUP = "self_pickup"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    ISSUE = "issue"


class Method(StrEnum):
    """How an order reaches its recipient."""

    DELIVERY = "delivery"
    SELF_PICKUP = "self_pickup"


class Stock(StrEnum):
    """What an order holds of the stock."""

    NONE = "none"
    RESERVED = "reserved"
    WRITTEN_OFF = "written off"


_OWN_WAY: Final = {Method.DELIVERY: Status.DELIVERY, Method.SELF_PICKUP: Status.SELF_PICKUP}

FORWARD: Final[Mapping[Status, tuple[Status, ...]]] = {
    Status.NEW: (Status.PAID, Status.ISSUE),
    Status.PAID: (Status.ASSEMBLED, Status.ISSUE),
    Status.ASSEMBLED: (Status.DELIVERY, Status.SELF_PICKUP, Status.ISSUE),
    Status.DELIVERY: (Status.DELIVERED, Status.COMPLETED, Status.ISSUE),
    Status.SELF_PICKUP: (Status.COMPLETED, Status.ISSUE),
    Status.DELIVERED: (Status.COMPLETED, Status.ISSUE),
    Status.COMPLETED: (),
    Status.ISSUE: (),
}
BACK: Final[Mapping[Status, tuple[Status, ...]]] = {
    Status.PAID: (Status.NEW,),
    Status.ASSEMBLED: (Status.PAID, Status.NEW),
    Status.DELIVERY: (Status.ASSEMBLED, Status.PAID),
    Status.SELF_PICKUP: (Status.ASSEMBLED, Status.PAID),
    Status.ISSUE: (
        Status.NEW,
        Status.PAID,
        Status.ASSEMBLED,
        Status.DELIVERY,
        Status.SELF_PICKUP,
    ),
}
CANCELLABLE: Final = (Status.NEW, Status.PAID, Status.ASSEMBLED)
OPEN_TO_CUSTOMER: Final = (Status.NEW, Status.PAID)
"""The states in which the tracking page may change the address (spec shop §8)."""
EDITABLE_LINES: Final = (Status.NEW, Status.PAID, Status.ASSEMBLED)
PAYABLE: Final = (
    Status.NEW,
    Status.PAID,
    Status.ASSEMBLED,
    Status.DELIVERY,
    Status.SELF_PICKUP,
    Status.DELIVERED,
)
"""A completed or cancelled order takes no payment (C18)."""


class MoveNotAllowed(Refused):
    """Недопустимый переход статуса"""

    def __init__(self, status: Status, allowed: tuple[Status, ...]) -> None:
        names = ", ".join(allowed) or "нет"
        super().__init__(f"Недопустимый переход из статуса {status}. Разрешены: {names}")


class RollbackNotAllowed(BadRequest):
    """Откат в этот статус невозможен"""

    def __init__(self, status: Status, allowed: tuple[Status, ...]) -> None:
        names = ", ".join(allowed) or "нет"
        super().__init__(f"Откат из статуса {status} в этот статус невозможен. Разрешены: {names}")


class CannotCancel(BadRequest):
    """Заказ в этом статусе нельзя отменить"""


def moves_forward(status: Status, method: Method) -> tuple[Status, ...]:
    """The states that may follow, by PATCH of the status."""
    others = {way for each, way in _OWN_WAY.items() if each != method}
    return tuple(one for one in FORWARD[status] if one not in others)


def moves_back(status: Status, method: Method) -> tuple[Status, ...]:
    """The earlier states that a rollback may choose."""
    others = {way for each, way in _OWN_WAY.items() if each != method}
    return tuple(one for one in BACK.get(status, ()) if one not in others)


def stock_in(status: Status, before: Stock) -> Stock:
    """What an order holds of the stock in a state: `before` is what it held in the previous one.

    An issue gives reserved stock back. Stock that left the shop stays written off.
    """
    match status:
        case Status.NEW | Status.PAID | Status.ASSEMBLED:
            return Stock.RESERVED
        case Status.DELIVERY | Status.SELF_PICKUP | Status.DELIVERED | Status.COMPLETED:
            return Stock.WRITTEN_OFF
        case Status.ISSUE:
            return Stock.WRITTEN_OFF if before == Stock.WRITTEN_OFF else Stock.NONE
