"""The state of an order, and what its events make of it (spec shop §5).

The stock that an order holds follows from its state: `stock_steps` says what a command does to the
stock, and the handler appends both together.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from contracts.envelope import Sealed
from contracts.shop import OrderDetails, OrderLine, ShopEvent
from contracts.shop import orders as events
from libs.errors import NotFound
from services.shop.orders.domain.status import Method, Status, Stock, stock_in
from services.shop.stock.domain.commands import Release, Reserve, Return, WriteOff

OTHER_ISSUE: Final = "other"
"""The type of the issue of a cancelled order (spec shop §4.1)."""


class OrderUnknown(NotFound):
    """Заказ не найден"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The state of an order, for decisions and for pages; without `details` it does not exist.

    `comments` are the ids of those that were not removed, `rated` those of photos.
    """

    order_id: int = 0
    customer_id: int = 0
    number: str = ""
    tracking_token: str = ""
    source: str = ""
    details: OrderDetails | None = None
    lines: tuple[OrderLine, ...] = ()
    status: Status = Status.NEW
    stock: Stock = Stock.NONE
    flower_sum: int = 0
    delivery_fee: int = 0
    issue_type: str | None = None
    issue_comment: Sealed | None = None
    florist: int | None = None
    payment_id: str | None = None
    comments: tuple[int, ...] = ()
    photos: tuple[int, ...] = ()
    rated: tuple[int, ...] = ()
    has_pre_delivery_photos: bool = False

    @property
    def total(self) -> int:
        """What the customer pays, in whole tenge."""
        return self.flower_sum + self.delivery_fee

    @property
    def method(self) -> Method:
        """How it reaches its recipient."""
        return Method(self.placed.delivery_method)

    @property
    def placed(self) -> OrderDetails:
        """The details of an order that exists. Raises OrderUnknown."""
        if self.details is None:
            raise OrderUnknown
        return self.details

    def needs(self) -> Mapping[int, int]:
        """The quantities of stock by warehouse item."""
        needs = Counter[int]()
        for line in self.lines:
            needs.update({need.warehouse_item_id: need.quantity for need in line.needs})
        return needs


def evolve(order: Order, event: ShopEvent) -> Order:
    """The order after an event."""
    match event:
        case events.OrderPlaced():
            return _placed(event)
        case events.OrderEdited() | events.OrderAddressChanged():
            return replace(order, details=event.details)
        case events.OrderLinesChanged():
            return replace(order, lines=event.lines, flower_sum=event.flower_sum)
        case events.OrderStatusChanged(new_status=status, changed_at=at):
            return _paid_at(_moved(order, status), at)
        case events.OrderRolledBack(new_status=status):
            return _unpaid(_moved(order, status))
        case events.OrderIssueReported() | events.OrderCancelled():
            return _with_issue(order, event)
        case events.OrderPaymentReceived():
            return _with_payment(_moved(order, event.new_status), event)
        case _:
            return _with_notes(order, event)


Step: TypeAlias = type[Reserve | Release | WriteOff | Return]

STEPS: Final[Mapping[tuple[Stock, Stock], tuple[Step, ...]]] = {
    (Stock.NONE, Stock.RESERVED): (Reserve,),
    (Stock.NONE, Stock.WRITTEN_OFF): (Reserve, WriteOff),
    (Stock.RESERVED, Stock.NONE): (Release,),
    (Stock.RESERVED, Stock.WRITTEN_OFF): (WriteOff,),
    (Stock.WRITTEN_OFF, Stock.RESERVED): (Return,),
}


def stock_steps(before: Order, after: Order) -> tuple[Step, ...]:
    """The commands of the stock between two states of an order, in this order.

    Before, the needs of `before` are held; after, those of `after`.
    """
    if before.stock == after.stock == Stock.RESERVED and before.needs() != after.needs():
        return (Release, Reserve)
    return STEPS.get((before.stock, after.stock), ())


def _placed(event: events.OrderPlaced) -> Order:
    same = ("order_id", "customer_id", "number", "tracking_token", "source", "details", "lines")
    values = {name: getattr(event, name) for name in (*same, "flower_sum", "delivery_fee")}
    return Order(stock=Stock.RESERVED, **values)


def _moved(order: Order, status: str) -> Order:
    stock = stock_in(Status(status), order.stock)
    cleared = replace(order, issue_type=None, issue_comment=None)
    return replace(cleared, status=Status(status), stock=stock)


def _with_issue(order: Order, event: events.OrderIssueReported | events.OrderCancelled) -> Order:
    moved = _moved(order, Status.ISSUE)
    if isinstance(event, events.OrderCancelled):
        return replace(moved, issue_type=OTHER_ISSUE, issue_comment=event.reason)
    return replace(moved, issue_type=event.issue_type, issue_comment=event.comment)


def _paid_at(order: Order, at: datetime) -> Order:
    # The payment has a date even if staff reported it (C17).
    if order.status != Status.PAID or order.placed.payment_date is not None:
        return order
    return replace(order, details=replace(order.placed, payment_date=at))


def _unpaid(order: Order) -> Order:
    if order.status != Status.NEW or order.payment_id is not None:
        return order
    return replace(order, details=replace(order.placed, payment_date=None))


def _with_payment(order: Order, event: events.OrderPaymentReceived) -> Order:
    method, at = event.payment_method, event.received_at
    details = replace(order.placed, payment_method=method, payment_date=at)
    return replace(order, details=details, payment_id=event.payment_id)


def _with_notes(order: Order, event: ShopEvent) -> Order:
    match event:
        case events.OrderFloristAssigned():
            return replace(order, florist=event.florist)
        case events.OrderCommentAdded():
            return replace(order, comments=(*order.comments, event.comment_id))
        case events.OrderCommentRemoved():
            left = tuple(one for one in order.comments if one != event.comment_id)
            return replace(order, comments=left)
        case events.OrderPhotoAdded(photo_id=photo_id, photo_type=kind):
            has_one = order.has_pre_delivery_photos or kind == "pre_delivery"
            photos = (*order.photos, photo_id)
            return replace(order, photos=photos, has_pre_delivery_photos=has_one)
        case events.OrderPhotoRated():
            return replace(order, rated=(*order.rated, event.photo_id))
        case _:
            return order
