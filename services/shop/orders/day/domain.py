"""What each event adds to the figures of its day, and the closing of days.

A closed day blocks nothing: what happens to its orders later that day is a correction. The figures
are described at `contracts.shop.DayClosed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, TypeAlias

from contracts.shop import (
    DayClosed,
    OrderAddressChanged,
    OrderCancelled,
    OrderEdited,
    OrderIssueReported,
    OrderLinesChanged,
    OrderPaymentReceived,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
    StockReturned,
    StockWrittenOff,
)
from libs.errors import BadRequest
from libs.eventsourcing.decider import Decider
from services.shop.orders.domain.status import Status

UNKNOWN: Final = "unknown"
"""The method of a payment whose order names none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """The sums of an order and its payment method.

    `reported` is what providers reported as paid. `marked` are method and amount of what staff
    received, and `cancelled` the sum of a cancelled order.
    """

    flower_sum: int = 0
    delivery_fee: int = 0
    method: str = UNKNOWN
    reported: int = 0
    marked: tuple[str, int] | None = None
    cancelled: int | None = None

    @property
    def total(self) -> int:
        """What the customer pays."""
        return self.flower_sum + self.delivery_fee


Added: TypeAlias = tuple[Money, datetime | None, Mapping[str, int]]


def added(money: Money, event: ShopEvent) -> Added:
    """The money of an order after an event, the event's time, and what it adds to figures."""
    match event:
        case OrderPlaced(placed_at=at, flower_sum=flowers, delivery_fee=fee, details=details):
            method = details.payment_method or UNKNOWN
            placed = Money(flower_sum=flowers, delivery_fee=fee, method=method)
            return placed, at, {"placed": 1, "flower_sum": flowers, "delivery_fees": fee}
        case OrderEdited(details=details) | OrderAddressChanged(details=details):
            return replace(money, method=details.payment_method or UNKNOWN), None, {}
        case OrderLinesChanged(flower_sum=flowers, changed_at=at):
            more = {"flower_sum": flowers - money.flower_sum}
            return replace(money, flower_sum=flowers), at, more
        case StockWrittenOff(allocations=allocations, written_off_at=at):
            return money, at, {"written_off": sum(one.quantity for one in allocations)}
        case StockReturned(allocations=allocations, returned_at=at):
            return money, at, {"written_off": -sum(one.quantity for one in allocations)}
        case _:
            return _added_by_move(money, event)


def _added_by_move(money: Money, event: ShopEvent) -> Added:
    match event:
        case OrderPaymentReceived(amount=amount, received_at=at):
            moved = _moved(event.new_status) if event.new_status != event.old_status else {}
            received = {f"received.{event.payment_method}": amount}
            return replace(money, reported=money.reported + amount), at, {**received, **moved}
        case OrderStatusChanged(new_status=status, changed_at=at):
            after, paid = _marked(money) if status == Status.PAID else (money, {})
            return after, at, {**_moved(status), **paid}
        case OrderRolledBack(new_status=status, rolled_back_at=at):
            after, undone = _undone(money, unpaid=status == Status.NEW)
            return after, at, {**_moved(status), **undone}
        case OrderIssueReported(reported_at=at):
            return money, at, _moved(Status.ISSUE)
        case OrderCancelled(cancelled_at=at):
            cancelled = {"cancelled": 1, "cancelled_sum": money.total}
            return replace(money, cancelled=money.total), at, {**cancelled, **_moved(Status.ISSUE)}
        case _:
            return money, None, {}


def _moved(status: str) -> Mapping[str, int]:
    return {f"moved.{status}": 1}


def _marked(money: Money) -> tuple[Money, Mapping[str, int]]:
    """Staff received what no provider reported."""
    due = money.total - money.reported
    if due <= 0 or money.marked is not None:
        return money, {}
    return replace(money, marked=(money.method, due)), {f"received.{money.method}": due}


def _undone(money: Money, *, unpaid: bool) -> tuple[Money, Mapping[str, int]]:
    """The order is not cancelled any more and, if it is `unpaid` now, staff received nothing."""
    figures: dict[str, int] = {}
    if money.cancelled is not None:
        figures |= {"cancelled": -1, "cancelled_sum": -money.cancelled}
    if unpaid and money.marked is not None:
        method, amount = money.marked
        figures[f"received.{method}"] = -amount
    return replace(money, cancelled=None, marked=None if unpaid else money.marked), figures


class DayToCome(BadRequest):
    """Этот день ещё не наступил"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseDay:
    """Close a day with its figures of now. `today` is the day of `now` in the shop's zone."""

    day: date
    today: date
    figures: Mapping[str, int]
    position: int
    by: str
    now: datetime


def decide(last: DayClosed | None, command: CloseDay) -> list[ShopEvent]:
    """Nothing if the last closing had these figures, or later ones. Raises DayToCome."""
    if command.day > command.today:
        raise DayToCome
    figures, known = command.figures, last.figures if last else {}
    if last is not None and (figures == known or command.position < last.position):
        return []
    changes = {name: figures.get(name, 0) - known.get(name, 0) for name in {**known, **figures}}
    closed = DayClosed(
        day=command.day,
        figures=figures,
        corrects={name: change for name, change in changes.items() if change} if last else None,
        position=command.position,
        closed_by=command.by,
        closed_at=command.now,
    )
    return [closed]


def evolve(last: DayClosed | None, event: ShopEvent) -> DayClosed | None:
    """The last closing."""
    return event if isinstance(event, DayClosed) else last


DAY: Final[Decider[DayClosed | None, CloseDay, ShopEvent]] = Decider(
    category="day", initial=None, decide=decide, evolve=evolve
)
"""A day of one shop, by its date."""
