"""Which commands an order accepts, and the events they become (spec shop §5)."""

from collections.abc import Sequence
from typing import Final, assert_never

from contracts.shop import (
    OrderAddressChanged,
    OrderCancelled,
    OrderCommentAdded,
    OrderCommentChanged,
    OrderCommentRemoved,
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
from libs.errors import BadRequest, NotFound, Refused, Unfit
from libs.eventsourcing.decider import Decider
from services.shop.orders.domain.commands import (
    AddComment,
    AddPhoto,
    AssignFlorist,
    CancelOrder,
    ChangeAddress,
    ChangeComment,
    EditOrder,
    MoveForward,
    OrderCommand,
    PlaceOrder,
    RatePhoto,
    ReceivePayment,
    ReportIssue,
    RollBack,
    SetLines,
)
from services.shop.orders.domain.order import Order, evolve
from services.shop.orders.domain.status import (
    CANCELLABLE,
    EDITABLE_LINES,
    OPEN_TO_CUSTOMER,
    PAYABLE,
    CannotCancel,
    MoveNotAllowed,
    RollbackNotAllowed,
    Status,
    moves_back,
    moves_forward,
)


class CommentUnknown(NotFound):
    """Комментарий не найден"""


class PhotoUnknown(NotFound):
    """Фото не найдено"""


class NotPositive(Unfit):
    """Количество должно быть не меньше 1"""


class LinesAreFixed(Refused):
    """Состав заказа в этом статусе изменить нельзя"""


class AddressIsFixed(BadRequest):
    """Адрес в этом статусе изменить нельзя"""


class WrongAmount(Refused):
    """Сумма платежа не равна сумме заказа"""


class NotPayable(Refused):
    """Заказ в этом статусе оплатить нельзя"""


class AlreadyPaid(Refused):
    """Заказ уже оплачен другим платежом"""


class AlreadyRated(BadRequest):
    """Отзыв уже оставлен"""


def decide(order: Order, command: OrderCommand) -> list[ShopEvent]:
    """The events of a command. Raises OrderUnknown and the refusals above and of `status`."""
    if isinstance(command, PlaceOrder):
        return _new_order(order, command)
    _ = order.placed  # An order that was never placed is unknown.
    match command:
        case EditOrder() | ChangeAddress():
            return _edit(order, command)
        case SetLines():
            return _set_lines(order, command)
        case AssignFlorist():
            return _assign(order, command)
        case MoveForward() | ReportIssue() | CancelOrder() | RollBack():
            return _move(order, command)
        case ReceivePayment():
            return _receive(order, command)
        case AddComment() | ChangeComment() | AddPhoto() | RatePhoto():
            return _note(order, command)
        case _:
            assert_never(command)


def sum_of(lines: Sequence[OrderLine]) -> int:
    """The price of all lines, in whole tenge."""
    return sum(line.price * line.quantity for line in lines)


def _new_order(order: Order, command: PlaceOrder) -> list[ShopEvent]:
    if order.details is not None:
        return []
    _check_quantities(command.lines)
    given = command.flower_sum
    return [
        OrderPlaced(
            order_id=command.order_id,
            customer_id=command.customer_id,
            number=command.number,
            tracking_token=command.tracking_token,
            details=command.details,
            lines=command.lines,
            flower_sum=sum_of(command.lines) if given is None else given,
            delivery_fee=command.delivery_fee,
            source=command.source,
            placed_by=command.by,
            placed_at=command.now,
        )
    ]


def _edit(order: Order, command: EditOrder | ChangeAddress) -> list[ShopEvent]:
    order_id, details, now = order.order_id, command.details, command.now
    if isinstance(command, ChangeAddress) and order.status not in OPEN_TO_CUSTOMER:
        raise AddressIsFixed
    if details == order.details:
        return []
    if isinstance(command, ChangeAddress):
        return [OrderAddressChanged(order_id=order_id, details=details, changed_at=now)]
    return [OrderEdited(order_id=order_id, details=details, edited_by=command.by, edited_at=now)]


def _assign(order: Order, command: AssignFlorist) -> list[ShopEvent]:
    if command.florist == order.florist:
        return []
    return [
        OrderFloristAssigned(
            order_id=order.order_id,
            florist=command.florist,
            assigned_by=command.by,
            assigned_at=command.now,
        )
    ]


def _set_lines(order: Order, command: SetLines) -> list[ShopEvent]:
    if order.status not in EDITABLE_LINES:
        raise LinesAreFixed
    _check_quantities(command.lines)
    if command.lines == order.lines:
        return []
    return [
        OrderLinesChanged(
            order_id=order.order_id,
            lines=command.lines,
            flower_sum=sum_of(command.lines),
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _move(
    order: Order, command: MoveForward | ReportIssue | CancelOrder | RollBack
) -> list[ShopEvent]:
    match command:
        case MoveForward():
            return _move_forward(order, command)
        case ReportIssue():
            return _report(order, command)
        case CancelOrder():
            return _cancel(order, command)
        case RollBack():
            return _roll_back(order, command)
        case _:
            assert_never(command)


def _report(order: Order, command: ReportIssue) -> list[ShopEvent]:
    # A second report of an order with an issue replaces the first.
    if order.status != Status.ISSUE:
        _check_forward(order, Status.ISSUE)
    return [
        OrderIssueReported(
            order_id=order.order_id,
            old_status=order.status,
            issue_type=command.issue_type,
            comment=command.comment,
            reported_by=command.by,
            reported_at=command.now,
        )
    ]


def _cancel(order: Order, command: CancelOrder) -> list[ShopEvent]:
    if order.status not in CANCELLABLE:
        raise CannotCancel
    return [
        OrderCancelled(
            order_id=order.order_id,
            old_status=order.status,
            reason=command.reason,
            cancelled_by=command.by,
            cancelled_at=command.now,
        )
    ]


def _roll_back(order: Order, command: RollBack) -> list[ShopEvent]:
    allowed = moves_back(order.status, order.method)
    if command.status not in allowed:
        raise RollbackNotAllowed(order.status, allowed)
    return [
        OrderRolledBack(
            order_id=order.order_id,
            old_status=order.status,
            new_status=command.status,
            reason=command.reason,
            rolled_back_by=command.by,
            rolled_back_at=command.now,
        )
    ]


def _move_forward(order: Order, command: MoveForward) -> list[ShopEvent]:
    if command.status == order.status:
        return []
    _check_forward(order, command.status)
    return [
        OrderStatusChanged(
            order_id=order.order_id,
            old_status=order.status,
            new_status=command.status,
            comment=command.comment,
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _check_forward(order: Order, status: Status) -> None:
    allowed = moves_forward(order.status, order.method)
    if status not in allowed:
        raise MoveNotAllowed(order.status, allowed)


def _receive(order: Order, command: ReceivePayment) -> list[ShopEvent]:
    if command.payment_id in order.payments:
        return []
    if order.payments:
        raise AlreadyPaid
    if order.status not in PAYABLE:
        raise NotPayable
    if command.amount != order.total:
        raise WrongAmount
    return [
        OrderPaymentReceived(
            order_id=order.order_id,
            payment_id=command.payment_id,
            payment_method=command.method,
            amount=command.amount,
            old_status=order.status,
            new_status=Status.PAID if order.status == Status.NEW else order.status,
            received_at=command.now,
        )
    ]


def _note(
    order: Order, command: AddComment | ChangeComment | AddPhoto | RatePhoto
) -> list[ShopEvent]:
    order_id = order.order_id
    match command:
        case AddComment():
            return [
                OrderCommentAdded(
                    order_id=order_id,
                    comment_id=command.comment_id,
                    text=command.text,
                    author=command.author,
                    customer_name=command.customer_name,
                    added_at=command.now,
                )
            ]
        case ChangeComment():
            return _change_comment(order, command)
        case AddPhoto():
            return [
                OrderPhotoAdded(
                    order_id=order_id,
                    photo_id=command.photo_id,
                    file=command.file,
                    photo_type=command.photo_type,
                    description=command.description,
                    uploaded_by=command.by,
                    uploaded_at=command.now,
                )
            ]
        case RatePhoto():
            return _rate(order, command)
        case _:
            assert_never(command)


def _change_comment(order: Order, command: ChangeComment) -> list[ShopEvent]:
    order_id, comment_id = order.order_id, command.comment_id
    if comment_id not in order.comments:
        raise CommentUnknown
    if command.text is None:
        return [
            OrderCommentRemoved(
                order_id=order_id,
                comment_id=comment_id,
                removed_by=command.by,
                removed_at=command.now,
            )
        ]
    return [
        OrderCommentChanged(
            order_id=order_id,
            comment_id=comment_id,
            text=command.text,
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _rate(order: Order, command: RatePhoto) -> list[ShopEvent]:
    if command.photo_id not in order.photos:
        raise PhotoUnknown
    if order.photos[command.photo_id]:
        raise AlreadyRated
    return [
        OrderPhotoRated(
            order_id=order.order_id,
            photo_id=command.photo_id,
            feedback=command.feedback,
            comment=command.comment,
            rated_at=command.now,
        )
    ]


def _check_quantities(lines: Sequence[OrderLine]) -> None:
    if any(line.quantity < 1 for line in lines):
        raise NotPositive


ORDER: Final = Decider(category="order", initial=Order(), decide=decide, evolve=evolve)
