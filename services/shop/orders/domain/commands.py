"""The commands of an order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from contracts.envelope import Sealed
from contracts.shop import OrderDetails, OrderLine
from services.shop.orders.domain.status import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class _Command:
    """`by` is the account of a member of the staff, or another actor; `now` is in UTC."""

    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceOrder(_Command):
    """Place an order with its first comment. Without `flower_sum` it is the sum of the lines."""

    order_id: int
    customer_id: int
    number: str
    tracking_token: str
    details: OrderDetails
    lines: tuple[OrderLine, ...]
    delivery_fee: int
    source: str
    flower_sum: int | None = None
    comment: "AddComment | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditOrder(_Command):
    """Replace these fields of the details. Money is not among them."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAddress(_Command):
    """Replace these fields of the details, as the customer does: address and recipient."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AddLine(_Command):
    """Add a line."""

    line: OrderLine


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeLine(_Command):
    """Change the quantity of a line; 0 removes it."""

    item_id: int
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveForward(_Command):
    """Go to the next state."""

    status: Status
    comment: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportIssue(_Command):
    """Something went wrong."""

    issue_type: str
    comment: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelOrder(_Command):
    """The order is not wanted any more."""

    comment: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RollBack(_Command):
    """Go back to an earlier state."""

    status: Status
    comment: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivePayment(_Command):
    """A provider reports a payment; a `payment_id` counts once."""

    payment_id: str
    payment_method: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignFlorist(_Command):
    """A florist takes the order."""

    florist: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddComment(_Command):
    """Add a comment, of the customer if there is no `author`."""

    comment_id: int
    text: Sealed
    author: str | None
    customer_name: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeComment(_Command):
    """Replace the text of a comment; without a text it is removed."""

    comment_id: int
    text: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AddPhoto(_Command):
    """Add a photo that is in the file store."""

    photo_id: int
    file: str
    photo_type: str
    description: Sealed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePhoto(_Command):
    """The customer rates a photo, once."""

    photo_id: int
    feedback: str
    comment: Sealed | None


Move: TypeAlias = MoveForward | ReportIssue | CancelOrder | RollBack
OrderCommand: TypeAlias = (
    PlaceOrder
    | EditOrder
    | ChangeAddress
    | AddLine
    | ChangeLine
    | Move
    | ReceivePayment
    | AssignFlorist
    | AddComment
    | ChangeComment
    | AddPhoto
    | RatePhoto
)
