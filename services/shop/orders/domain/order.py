"""The state of an order, and what its events make of it (spec shop §5).

The stock that an order holds follows from its state: `stock_steps` says what a command does to the
stock, and the handler appends both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from contracts.shop import (
    OrderAddressChanged,
    OrderCancelled,
    OrderCommentAdded,
    OrderCommentRemoved,
    OrderDetails,
    OrderEdited,
    OrderFloristAssigned,
    OrderIssueReported,
    OrderLine,
    OrderLinesChanged,
    OrderPaymentReceived,
    OrderPhotoAdded,
    OrderPhotoRated,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
)
from libs.errors import NotFound
from services.shop.orders.domain.status import Method, Status, Stock, stock_in


class OrderUnknown(NotFound):
    """Заказ не найден"""


class Step(StrEnum):
    """What happens to the stock of an order."""

    RESERVE = "reserve"
    RELEASE = "release"
    WRITE_OFF = "write off"
    RETURN = "return"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The state of an order; without `details` it does not exist.

    `comments` are the ids of those that were not removed, `photos` say whether each was rated.
    """

    order_id: int = 0
    details: OrderDetails | None = None
    lines: tuple[OrderLine, ...] = ()
    status: Status = Status.NEW
    stock: Stock = Stock.NONE
    flower_sum: int = 0
    delivery_fee: int = 0
    has_issue: bool = False
    florist: int | None = None
    payments: frozenset[str] = frozenset()
    comments: frozenset[int] = frozenset()
    photos: Mapping[int, bool] = field(default_factory=lambda: MappingProxyType({}))

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
        needs: dict[int, int] = {}
        for line in self.lines:
            for need in line.needs:
                item = need.warehouse_item_id
                needs[item] = needs.get(item, 0) + need.quantity
        return needs


def evolve(order: Order, event: ShopEvent) -> Order:
    """The order after an event."""
    match event:
        case OrderPlaced():
            return _placed(event)
        case OrderEdited() | OrderAddressChanged():
            return replace(order, details=event.details)
        case OrderLinesChanged():
            return replace(order, lines=event.lines, flower_sum=event.flower_sum)
        case OrderStatusChanged() | OrderIssueReported() | OrderCancelled() | OrderRolledBack():
            return _after_move(order, event)
        case OrderPaymentReceived():
            return _with_payment(_moved(order, event.new_status), event)
        case _:
            return _with_notes(order, event)


def stock_steps(before: Order, after: Order) -> tuple[Step, ...]:
    """What happens to the stock between two states of an order, in this order.

    Before, the needs of `before` are held; after, those of `after`.
    """
    match before.stock, after.stock:
        case Stock.RESERVED, Stock.RESERVED:
            return () if before.needs() == after.needs() else (Step.RELEASE, Step.RESERVE)
        case held, wanted:
            return _STEPS.get((held, wanted), ())


_STEPS: Final = {
    (Stock.NONE, Stock.RESERVED): (Step.RESERVE,),
    (Stock.NONE, Stock.WRITTEN_OFF): (Step.RESERVE, Step.WRITE_OFF),
    (Stock.RESERVED, Stock.NONE): (Step.RELEASE,),
    (Stock.RESERVED, Stock.WRITTEN_OFF): (Step.WRITE_OFF,),
    (Stock.WRITTEN_OFF, Stock.RESERVED): (Step.RETURN,),
}


def _placed(event: OrderPlaced) -> Order:
    return Order(
        order_id=event.order_id,
        details=event.details,
        lines=event.lines,
        stock=Stock.RESERVED,
        flower_sum=event.flower_sum,
        delivery_fee=event.delivery_fee,
    )


def _after_move(
    order: Order,
    event: OrderStatusChanged | OrderIssueReported | OrderCancelled | OrderRolledBack,
) -> Order:
    match event:
        case OrderStatusChanged(new_status=status, changed_at=at):
            return _paid_at(_moved(order, status), status, at)
        case OrderRolledBack(new_status=status):
            return _unpaid(_moved(order, status))
        case _:
            return _moved(order, Status.ISSUE)


def _moved(order: Order, status: str) -> Order:
    new = Status(status)
    return replace(
        order,
        status=new,
        stock=stock_in(new, order.stock),
        has_issue=new == Status.ISSUE,
    )


def _paid_at(order: Order, status: str, at: datetime) -> Order:
    # The payment has a date even if staff reported it (C17).
    if status != Status.PAID or order.placed.payment_date is not None:
        return order
    return _with_details(order, payment_date=at)


def _unpaid(order: Order) -> Order:
    if order.status != Status.NEW or order.payments:
        return order
    return _with_details(order, payment_date=None)


def _with_payment(order: Order, event: OrderPaymentReceived) -> Order:
    paid = _with_details(order, payment_method=event.payment_method, payment_date=event.received_at)
    return replace(paid, payments=order.payments | {event.payment_id})


def _with_details(order: Order, **changes: Any) -> Order:
    return replace(order, details=replace(order.placed, **changes))


def _with_notes(order: Order, event: ShopEvent) -> Order:
    match event:
        case OrderFloristAssigned():
            return replace(order, florist=event.florist)
        case OrderCommentAdded():
            return replace(order, comments=order.comments | {event.comment_id})
        case OrderCommentRemoved():
            return replace(order, comments=order.comments - {event.comment_id})
        case OrderPhotoAdded():
            return replace(order, photos={**order.photos, event.photo_id: False})
        case OrderPhotoRated():
            return replace(order, photos={**order.photos, event.photo_id: True})
        case _:
            return order
