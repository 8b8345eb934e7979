"""The states of an order, the moves between them, and the stock that each holds (spec shop §5)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


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


Moves = Mapping[Status, tuple[Status, ...]]

FORWARD: Final[Moves] = {
    Status.NEW: (Status.PAID, Status.ISSUE),
    Status.PAID: (Status.ASSEMBLED, Status.ISSUE),
    Status.ASSEMBLED: (Status.DELIVERY, Status.SELF_PICKUP, Status.ISSUE),
    Status.DELIVERY: (Status.DELIVERED, Status.COMPLETED, Status.ISSUE),
    Status.SELF_PICKUP: (Status.COMPLETED, Status.ISSUE),
    Status.DELIVERED: (Status.COMPLETED, Status.ISSUE),
}
"""The states that may follow, by PATCH of the status."""
OPEN: Final = (Status.NEW, Status.PAID, Status.ASSEMBLED, Status.DELIVERY, Status.SELF_PICKUP)
BACK: Final[Moves] = {
    Status.PAID: (Status.NEW,),
    Status.ASSEMBLED: (Status.PAID, Status.NEW),
    Status.DELIVERY: (Status.ASSEMBLED, Status.PAID),
    Status.SELF_PICKUP: (Status.ASSEMBLED, Status.PAID),
    Status.ISSUE: OPEN,
}
"""The earlier states that a rollback may choose."""
IN_SHOP: Final = (Status.NEW, Status.PAID, Status.ASSEMBLED)
"""The states in which lines may be changed and the order cancelled: stock is only reserved."""
OPEN_TO_CUSTOMER: Final = (Status.NEW, Status.PAID)
"""The states in which the tracking page may change the address (spec shop §8)."""
CLOSED: Final = (Status.COMPLETED, Status.ISSUE)
"""A completed or cancelled order takes no payment (C18)."""
_WAYS: Final = {Method.DELIVERY: Status.SELF_PICKUP, Method.SELF_PICKUP: Status.DELIVERY}
"""The state that an order of this method is never in."""


def allowed(moves: Moves, status: Status, method: Method) -> tuple[Status, ...]:
    """The states to which a table of moves leads from a state."""
    return tuple(one for one in moves.get(status, ()) if one != _WAYS[method])


def stock_in(status: Status, before: Stock) -> Stock:
    """What an order holds of the stock in a state: `before` is what it held in the previous one.

    An issue gives reserved stock back. Stock that left the shop stays written off.
    """
    if status in IN_SHOP:
        return Stock.RESERVED
    if status == Status.ISSUE and before != Stock.WRITTEN_OFF:
        return Stock.NONE
    return Stock.WRITTEN_OFF
