"""Which commands an order accepts, and the events they become (spec shop §5)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

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
    AddLine,
    AddPhoto,
    AssignFlorist,
    CancelOrder,
    ChangeAddress,
    ChangeComment,
    ChangeLine,
    EditOrder,
    Move,
    MoveForward,
    OrderCommand,
    PlaceOrder,
    RatePhoto,
    ReceivePayment,
    ReportIssue,
    RollBack,
)
from services.shop.orders.domain.order import Order, evolve
from services.shop.orders.domain.status import (
    BACK,
    CLOSED,
    FORWARD,
    IN_SHOP,
    OPEN_TO_CUSTOMER,
    Status,
    allowed,
)


class CommentUnknown(NotFound):
    """Комментарий не найден"""


class PhotoUnknown(NotFound):
    """Фото не найдено"""


class OrderItemUnknown(NotFound):
    """Позиция заказа не найдена"""


class NotPositive(Unfit):
    """Количество должно быть не меньше 1"""


class LinesAreFixed(Refused):
    """Состав заказа в этом статусе изменить нельзя"""


class AddressIsFixed(BadRequest):
    """Адрес в этом статусе изменить нельзя"""


class CannotCancel(BadRequest):
    """Заказ в этом статусе нельзя отменить"""


class MoveNotAllowed(Refused):
    """Недопустимый переход статуса"""


class RollbackNotAllowed(BadRequest):
    """Откат в этот статус невозможен"""


class WrongAmount(Refused):
    """Сумма платежа не равна сумме заказа"""


class NotPayable(Refused):
    """Заказ в этом статусе оплатить нельзя"""


class AlreadyPaid(Refused):
    """Заказ уже оплачен другим платежом"""


class AlreadyRated(BadRequest):
    """Отзыв уже оставлен"""


def decide(order: Order, command: OrderCommand) -> list[ShopEvent]:
    """The events of a command. Raises OrderUnknown and the refusals above."""
    if isinstance(command, PlaceOrder):
        return [] if order.details is not None else [_new_order(command)]
    _ = order.placed  # An order that was never placed is unknown.
    match command:
        case EditOrder() | ChangeAddress():
            return _edit(order, command)
        case AddLine() | ChangeLine():
            return _change_lines(order, command)
        case AssignFlorist(florist=florist, by=by, now=now):
            event = OrderFloristAssigned(
                order_id=order.order_id, florist=florist, assigned_by=by, assigned_at=now
            )
            return [] if florist == order.florist else [event]
        case MoveForward() | ReportIssue() | CancelOrder() | RollBack():
            return _move(order, command)
        case ReceivePayment():
            return _receive(order, command)
        case AddComment() | ChangeComment() | AddPhoto() | RatePhoto():
            return [_note(order, command)]
        case _:
            assert_never(command)


def _new_order(command: PlaceOrder) -> ShopEvent:
    _check_quantities(command.lines)
    given = command.flower_sum
    return OrderPlaced(
        order_id=command.order_id,
        customer_id=command.customer_id,
        number=command.number,
        tracking_token=command.tracking_token,
        details=command.details,
        lines=command.lines,
        flower_sum=_sum_of(command.lines) if given is None else given,
        delivery_fee=command.delivery_fee,
        source=command.source,
        placed_by=command.by,
        placed_at=command.now,
    )


def _edit(order: Order, command: EditOrder | ChangeAddress) -> list[ShopEvent]:
    order_id, now = order.order_id, command.now
    if isinstance(command, ChangeAddress) and order.status not in OPEN_TO_CUSTOMER:
        raise AddressIsFixed
    details = replace(order.placed, **command.changes)
    if details == order.details:
        return []
    if isinstance(command, ChangeAddress):
        return [OrderAddressChanged(order_id=order_id, details=details, changed_at=now)]
    return [OrderEdited(order_id=order_id, details=details, edited_by=command.by, edited_at=now)]


def _change_lines(order: Order, command: AddLine | ChangeLine) -> list[ShopEvent]:
    if order.status not in IN_SHOP:
        raise LinesAreFixed
    if isinstance(command, AddLine):
        lines = (*order.lines, command.line)
    else:
        if all(line.item_id != command.item_id for line in order.lines):
            raise OrderItemUnknown
        changed = (
            _of_quantity(line, command.quantity) if line.item_id == command.item_id else line
            for line in order.lines
        )
        lines = tuple(line for line in changed if line.quantity != 0)
    _check_quantities(lines)
    if lines == order.lines:
        return []
    return [
        OrderLinesChanged(
            order_id=order.order_id,
            lines=lines,
            flower_sum=_sum_of(lines),
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _of_quantity(line: OrderLine, quantity: int) -> OrderLine:
    needs = tuple(
        replace(need, quantity=need.quantity // line.quantity * quantity) for need in line.needs
    )
    return replace(line, quantity=quantity, needs=needs)


def _move(order: Order, command: Move) -> list[ShopEvent]:
    by, now, comment = command.by, command.now, command.comment
    moved: dict[str, Any] = {"order_id": order.order_id, "old_status": order.status}
    match command:
        case MoveForward(status=status):
            if status == order.status:
                return []
            _check_move(order, status)
            moved |= {"new_status": status, "comment": comment}
            return [OrderStatusChanged(**moved, changed_by=by, changed_at=now)]
        case ReportIssue():
            # A second report of an order with an issue replaces the first.
            if order.status != Status.ISSUE:
                _check_move(order, Status.ISSUE)
            moved |= {"issue_type": command.issue_type, "comment": comment}
            return [OrderIssueReported(**moved, reported_by=by, reported_at=now)]
        case CancelOrder():
            if order.status not in IN_SHOP:
                raise CannotCancel
            return [OrderCancelled(**moved, reason=comment, cancelled_by=by, cancelled_at=now)]
        case RollBack(status=status):
            _check_rollback(order, status)
            moved |= {"new_status": status, "reason": comment}
            return [OrderRolledBack(**moved, rolled_back_by=by, rolled_back_at=now)]
        case _:
            assert_never(command)


def _check_move(order: Order, status: Status) -> None:
    targets = allowed(FORWARD, order.status, order.method)
    if status not in targets:
        text = f"Недопустимый переход из статуса {order.status}."
        raise MoveNotAllowed(f"{text} Разрешены: {_listed(targets)}")


def _check_rollback(order: Order, status: Status) -> None:
    targets = allowed(BACK, order.status, order.method)
    if status not in targets:
        text = f"Откат из статуса {order.status} в этот статус невозможен."
        raise RollbackNotAllowed(f"{text} Разрешены: {_listed(targets)}")


def _listed(statuses: Sequence[Status]) -> str:
    return ", ".join(statuses) or "нет"


def _receive(order: Order, command: ReceivePayment) -> list[ShopEvent]:
    if command.payment_id == order.payment_id:
        return []
    if order.payment_id is not None:
        raise AlreadyPaid
    if order.status in CLOSED:
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


def _note(order: Order, command: AddComment | ChangeComment | AddPhoto | RatePhoto) -> ShopEvent:
    if isinstance(command, AddPhoto | RatePhoto):
        return _photo(order, command)
    return _comment(order, command)


def _comment(order: Order, command: AddComment | ChangeComment) -> ShopEvent:
    number, text, now = command.comment_id, command.text, command.now
    comment: dict[str, Any] = {"order_id": order.order_id, "comment_id": number}
    if isinstance(command, AddComment):
        comment |= {"author": command.author, "customer_name": command.customer_name}
        return OrderCommentAdded(**comment, text=command.text, added_at=now)
    if number not in order.comments:
        raise CommentUnknown
    if text is None:
        return OrderCommentRemoved(**comment, removed_by=command.by, removed_at=now)
    return OrderCommentChanged(**comment, text=text, changed_by=command.by, changed_at=now)


def _photo(order: Order, command: AddPhoto | RatePhoto) -> ShopEvent:
    number, now = command.photo_id, command.now
    photo: dict[str, Any] = {"order_id": order.order_id, "photo_id": number}
    if isinstance(command, AddPhoto):
        photo |= {"photo_type": command.photo_type, "description": command.description}
        return OrderPhotoAdded(**photo, file=command.file, uploaded_by=command.by, uploaded_at=now)
    if number not in order.photos:
        raise PhotoUnknown
    if number in order.rated:
        raise AlreadyRated
    photo |= {"feedback": command.feedback, "comment": command.comment}
    return OrderPhotoRated(**photo, rated_at=now)


def _check_quantities(lines: Sequence[OrderLine]) -> None:
    if any(line.quantity < 1 for line in lines):
        raise NotPositive


def _sum_of(lines: Sequence[OrderLine]) -> int:
    return sum(line.price * line.quantity for line in lines)


ORDER: Final = Decider(category="order", initial=Order(), decide=decide, evolve=evolve)
