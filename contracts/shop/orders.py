"""Orders: placed, paid, made, handed over, and what goes wrong with them.

What an order says of persons (who ordered, who receives it, where, the card, comments) is sealed
with the key of the subject `order-<order_id>`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from contracts.envelope import Sealed

ORDERS: Final = "shop.order"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderNeed:
    """Stock that a line takes: `quantity` stems of a variety, named by one of its batches."""

    warehouse_item_id: int
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderLine:
    """A product in an order, as it was when it was added. Prices in whole tenge.

    `needs` are the stock of the whole line; without any the product is not tracked in stock.
    """

    item_id: int
    product_id: int
    product_name: str
    product_category: str
    quantity: int
    price: int
    needs: tuple[OrderNeed, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderDetails:
    """What may be edited in an order.

    The window of delivery is in UTC. `delivery_method` is `delivery` or `self_pickup`.
    """

    customer_phone: Sealed
    recipient_phone: Sealed | None = None
    recipient_name: Sealed | None = None
    address: Sealed | None = None
    card_text: Sealed | None = None
    delivery_time_text: Sealed | None = None
    delivery_method: str
    address_needs_clarification: bool = False
    delivery_from: datetime | None = None
    delivery_to: datetime | None = None
    payment_method: str | None = None
    payment_date: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPlaced:
    """An order was placed, and its stock reserved in the same append.

    `number` has 9 digits and is shown to customers; `tracking_token` is long and cannot be guessed.
    `flower_sum` is the sum of the lines, `delivery_fee` is added to it.
    """

    order_id: int
    customer_id: int
    number: str
    tracking_token: str
    details: OrderDetails
    lines: tuple[OrderLine, ...]
    flower_sum: int
    delivery_fee: int
    source: str
    placed_by: str
    placed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderEdited:
    """Staff edited the details of an order."""

    order_id: int
    details: OrderDetails
    edited_by: str
    edited_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderAddressChanged:
    """The customer changed address or recipient on the tracking page."""

    order_id: int
    details: OrderDetails
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderLinesChanged:
    """The lines of an order were replaced, and its reservation with them."""

    order_id: int
    lines: tuple[OrderLine, ...]
    flower_sum: int
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderStatusChanged:
    """An order went one step forward. `comment` is sealed."""

    order_id: int
    old_status: str
    new_status: str
    comment: Sealed | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderIssueReported:
    """Something went wrong with an order, which has the status `issue` now. `comment` is sealed."""

    order_id: int
    old_status: str
    issue_type: str
    comment: Sealed | None
    reported_by: str
    reported_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCancelled:
    """An order was cancelled; it has the status `issue` now. `reason` is sealed."""

    order_id: int
    old_status: str
    reason: Sealed | None
    cancelled_by: str
    cancelled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderRolledBack:
    """An order was put back into an earlier status, and what the later ones did was undone.

    `reason` is sealed.
    """

    order_id: int
    old_status: str
    new_status: str
    reason: Sealed | None
    rolled_back_by: str
    rolled_back_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPaymentReceived:
    """A provider reported a payment of `amount` whole tenge for an order.

    If it was new it is paid now: `new_status` differs from `old_status`.
    """

    order_id: int
    payment_id: str
    payment_method: str
    amount: int
    old_status: str
    new_status: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderFloristAssigned:
    """A florist makes the order. `florist` is the member's number."""

    order_id: int
    florist: int
    assigned_by: str
    assigned_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCommentAdded:
    """A comment was added. `text` and the name of a customer are sealed.

    `author` is the account of a member of the staff; None for the customer.
    """

    order_id: int
    comment_id: int
    text: Sealed
    author: str | None
    customer_name: Sealed | None
    added_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCommentChanged:
    """The text of a comment was replaced."""

    order_id: int
    comment_id: int
    text: Sealed
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCommentRemoved:
    """A comment was removed."""

    order_id: int
    comment_id: int
    removed_by: str
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPhotoAdded:
    """A photo of an order was uploaded. `file` is its key in the file store.

    `photo_type` is `pre_delivery`, `completion` or `process`; `description` is sealed.
    """

    order_id: int
    photo_id: int
    file: str
    photo_type: str
    description: Sealed | None
    uploaded_by: str
    uploaded_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPhotoRated:
    """The customer rated a photo: `like` or `dislike`. `comment` is sealed."""

    order_id: int
    photo_id: int
    feedback: str
    comment: Sealed | None
    rated_at: datetime


OrderEvent: TypeAlias = (
    OrderPlaced
    | OrderEdited
    | OrderAddressChanged
    | OrderLinesChanged
    | OrderStatusChanged
    | OrderIssueReported
    | OrderCancelled
    | OrderRolledBack
    | OrderPaymentReceived
    | OrderFloristAssigned
    | OrderCommentAdded
    | OrderCommentChanged
    | OrderCommentRemoved
    | OrderPhotoAdded
    | OrderPhotoRated
)
EVENTS: Final = (
    OrderPlaced,
    OrderEdited,
    OrderAddressChanged,
    OrderLinesChanged,
    OrderStatusChanged,
    OrderIssueReported,
    OrderCancelled,
    OrderRolledBack,
    OrderPaymentReceived,
    OrderFloristAssigned,
    OrderCommentAdded,
    OrderCommentChanged,
    OrderCommentRemoved,
    OrderPhotoAdded,
    OrderPhotoRated,
)
