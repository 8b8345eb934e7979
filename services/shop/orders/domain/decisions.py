"""Which commands an order accepts, and the events they become (spec shop §5)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

from contracts.shop import OrderLine, ShopEvent
from contracts.shop import orders as events
from libs.errors import BadRequest, NotFound, Refused, Unfit
from libs.eventsourcing.decider import Decider
from services.shop.orders.domain import commands
from services.shop.orders.domain.commands import OrderCommand
from services.shop.orders.domain.order import Order, evolve
from services.shop.orders.domain.status import (
    BACK,
    CLOSED,
    FORWARD,
    IN_SHOP,
    OPEN_TO_CUSTOMER,
    Moves,
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
    """Недопустимый переход из статуса"""


class RollbackNotAllowed(BadRequest):
    """Невозможен откат в этот статус из статуса"""


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
    if isinstance(command, commands.PlaceOrder):
        return [] if order.details is not None else _new_order(command)
    _ = order.placed  # An order that was never placed is unknown.
    match command:
        case commands.EditOrder() | commands.ChangeAddress():
            return _edit(order, command)
        case commands.AddLine() | commands.ChangeLine():
            return _change_lines(order, command)
        case commands.AssignFlorist(florist=florist, by=by, now=now):
            event = events.OrderFloristAssigned(
                order_id=order.order_id, florist=florist, assigned_by=by, assigned_at=now
            )
            return [] if florist == order.florist else [event]
        case (
            commands.MoveForward()
            | commands.ReportIssue()
            | commands.CancelOrder()
            | commands.RollBack()
        ):
            return _move(order, command)
        case commands.ReceivePayment():
            return _receive(order, command)
        case (
            commands.AddComment()
            | commands.ChangeComment()
            | commands.AddPhoto()
            | commands.RatePhoto()
        ):
            return [_note(order, command)]
        case _:
            assert_never(command)


def _new_order(command: commands.PlaceOrder) -> list[ShopEvent]:
    _check_quantities(command.lines)
    given = command.flower_sum
    placed = events.OrderPlaced(
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
    if command.comment is None:
        return [placed]
    return [placed, _comment(evolve(Order(), placed), command.comment)]


def _edit(order: Order, command: commands.EditOrder | commands.ChangeAddress) -> list[ShopEvent]:
    order_id, now = order.order_id, command.now
    if isinstance(command, commands.ChangeAddress) and order.status not in OPEN_TO_CUSTOMER:
        raise AddressIsFixed
    details = replace(order.placed, **command.changes)
    if details == order.details:
        return []
    if isinstance(command, commands.ChangeAddress):
        return [events.OrderAddressChanged(order_id=order_id, details=details, changed_at=now)]
    return [
        events.OrderEdited(order_id=order_id, details=details, edited_by=command.by, edited_at=now)
    ]


def _change_lines(order: Order, command: commands.AddLine | commands.ChangeLine) -> list[ShopEvent]:
    if order.status not in IN_SHOP:
        raise LinesAreFixed
    if isinstance(command, commands.AddLine):
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
        events.OrderLinesChanged(
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


def _move(order: Order, command: commands.Move) -> list[ShopEvent]:
    by, now, comment = command.by, command.now, command.comment
    moved: dict[str, Any] = {"order_id": order.order_id, "old_status": order.status}
    match command:
        case commands.MoveForward(status=status):
            if status == order.status:
                return []
            _check(order, status, FORWARD, MoveNotAllowed)
            moved |= {"new_status": status, "comment": comment}
            return [events.OrderStatusChanged(**moved, changed_by=by, changed_at=now)]
        case commands.ReportIssue():
            # A second report of an order with an issue replaces the first.
            if order.status != Status.ISSUE:
                _check(order, Status.ISSUE, FORWARD, MoveNotAllowed)
            moved |= {"issue_type": command.issue_type, "comment": comment}
            return [events.OrderIssueReported(**moved, reported_by=by, reported_at=now)]
        case commands.CancelOrder():
            if order.status not in IN_SHOP:
                raise CannotCancel
            return [
                events.OrderCancelled(**moved, reason=comment, cancelled_by=by, cancelled_at=now)
            ]
        case commands.RollBack(status=status):
            _check(order, status, BACK, RollbackNotAllowed)
            moved |= {"new_status": status, "reason": comment}
            return [events.OrderRolledBack(**moved, rolled_back_by=by, rolled_back_at=now)]
        case _:
            assert_never(command)


def _check(order: Order, status: Status, moves: Moves, refusal: type[Refused]) -> None:
    targets = allowed(moves, order.status, order.method)
    if status not in targets:
        names = ", ".join(targets) or "нет"
        raise refusal(f"{refusal.__doc__} {order.status}. Разрешены: {names}")


def _receive(order: Order, command: commands.ReceivePayment) -> list[ShopEvent]:
    if command.payment_id == order.payment_id:
        return []
    if order.payment_id is not None:
        raise AlreadyPaid
    if order.status in CLOSED:
        raise NotPayable
    if command.amount != order.total:
        raise WrongAmount
    return [
        events.OrderPaymentReceived(
            order_id=order.order_id,
            payment_id=command.payment_id,
            payment_method=command.payment_method,
            amount=command.amount,
            old_status=order.status,
            new_status=Status.PAID if order.status == Status.NEW else order.status,
            received_at=command.now,
        )
    ]


def _note(
    order: Order,
    command: commands.AddComment | commands.ChangeComment | commands.AddPhoto | commands.RatePhoto,
) -> ShopEvent:
    if isinstance(command, commands.AddPhoto | commands.RatePhoto):
        return _photo(order, command)
    return _comment(order, command)


def _comment(order: Order, command: commands.AddComment | commands.ChangeComment) -> ShopEvent:
    number, text, now = command.comment_id, command.text, command.now
    comment: dict[str, Any] = {"order_id": order.order_id, "comment_id": number}
    if isinstance(command, commands.AddComment):
        comment |= {"author": command.author, "customer_name": command.customer_name}
        return events.OrderCommentAdded(**comment, text=command.text, added_at=now)
    if number not in order.comments:
        raise CommentUnknown
    if text is None:
        return events.OrderCommentRemoved(**comment, removed_by=command.by, removed_at=now)
    return events.OrderCommentChanged(**comment, text=text, changed_by=command.by, changed_at=now)


def _photo(order: Order, command: commands.AddPhoto | commands.RatePhoto) -> ShopEvent:
    number, now = command.photo_id, command.now
    photo: dict[str, Any] = {"order_id": order.order_id, "photo_id": number}
    if isinstance(command, commands.AddPhoto):
        photo |= {"photo_type": command.photo_type, "description": command.description}
        return events.OrderPhotoAdded(
            **photo, file=command.file, uploaded_by=command.by, uploaded_at=now
        )
    if number not in order.photos:
        raise PhotoUnknown
    if number in order.rated:
        raise AlreadyRated
    photo |= {"feedback": command.feedback, "comment": command.comment}
    return events.OrderPhotoRated(**photo, rated_at=now)


def _check_quantities(lines: Sequence[OrderLine]) -> None:
    if any(line.quantity < 1 for line in lines):
        raise NotPositive


def _sum_of(lines: Sequence[OrderLine]) -> int:
    return sum(line.price * line.quantity for line in lines)


ORDER: Final = Decider(category="order", initial=Order(), decide=decide, evolve=evolve)
