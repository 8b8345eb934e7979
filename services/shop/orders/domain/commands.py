"""The commands of an order. `by` is the account of a member of the staff, `now` in UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from contracts.envelope import Sealed
from contracts.shop import OrderDetails, OrderLine
from services.shop.orders.domain.status import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceOrder:
    """Place an order. Without `flower_sum` it is the sum of the lines."""

    order_id: int
    customer_id: int
    number: str
    tracking_token: str
    details: OrderDetails
    lines: tuple[OrderLine, ...]
    delivery_fee: int
    source: str
    by: str
    now: datetime
    flower_sum: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditOrder:
    """Replace the details. Money is not among them."""

    details: OrderDetails
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAddress:
    """Replace address and recipient, as the customer does."""

    details: OrderDetails
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SetLines:
    """Replace all lines."""

    lines: tuple[OrderLine, ...]
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveForward:
    """Go to the next state."""

    status: Status
    comment: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportIssue:
    """Something went wrong."""

    issue_type: str
    comment: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelOrder:
    """The order is not wanted any more."""

    reason: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RollBack:
    """Go back to an earlier state."""

    status: Status
    reason: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivePayment:
    """A provider reports a payment; a `payment_id` counts once."""

    payment_id: str
    method: str
    amount: int
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignFlorist:
    """A florist takes the order."""

    florist: int
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddComment:
    """Add a comment, of the customer if there is no `author`."""

    comment_id: int
    text: Sealed
    author: str | None
    customer_name: Sealed | None
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeComment:
    """Replace the text of a comment; without a text it is removed."""

    comment_id: int
    text: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddPhoto:
    """Add a photo that is in the file store."""

    photo_id: int
    file: str
    photo_type: str
    description: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePhoto:
    """The customer rates a photo, once."""

    photo_id: int
    feedback: str
    comment: Sealed | None
    now: datetime


OrderCommand: TypeAlias = (
    PlaceOrder
    | EditOrder
    | ChangeAddress
    | SetLines
    | MoveForward
    | ReportIssue
    | CancelOrder
    | RollBack
    | ReceivePayment
    | AssignFlorist
    | AddComment
    | ChangeComment
    | AddPhoto
    | RatePhoto
)
