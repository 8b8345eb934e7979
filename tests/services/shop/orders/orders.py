"""Orders for tests: their commands and events with the usual values."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import OrderDetails, OrderLine, OrderNeed, OrderPlaced, ShopEvent
from services.shop.orders.domain.commands import (
    AddLine,
    CancelOrder,
    ChangeLine,
    MoveForward,
    OrderCommand,
    PlaceOrder,
    ReportIssue,
    RollBack,
)
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.order import Order
from services.shop.orders.domain.status import Method, Status

NOON: Final = datetime(2026, 3, 7, 12, tzinfo=UTC)
ANNA: Final = "00000000-0000-0000-0000-000000000001"
DETAILS: Final = OrderDetails(customer_phone=Sealed("sealed"), delivery_method=Method.DELIVERY)


def line(item_id: int = 11, quantity: int = 2, stems: int = 15, item: int = 5) -> OrderLine:
    """A bouquet of `stems` stems of the warehouse item `item`."""
    return OrderLine(
        item_id=item_id,
        product_id=3,
        product_name="Букет роз",
        product_category="bouquet",
        quantity=quantity,
        price=15000,
        needs=(OrderNeed(warehouse_item_id=item, quantity=quantity * stems),) if stems else (),
    )


def place(*lines: OrderLine, method: Method = Method.DELIVERY, **different: Any) -> PlaceOrder:
    """The command."""
    given: dict[str, Any] = {
        "order_id": 1,
        "customer_id": 2,
        "number": "482915307",
        "tracking_token": "token",
        "details": replace(DETAILS, delivery_method=method),
        "lines": lines or (line(),),
        "delivery_fee": 1500,
        "source": "crm",
        "by": ANNA,
        "now": NOON,
    }
    return PlaceOrder(**{**given, **different})


def placed(*lines: OrderLine, method: Method = Method.DELIVERY) -> OrderPlaced:
    """The event."""
    (event,) = ORDER.decide(Order(), place(*lines, method=method))
    assert isinstance(event, OrderPlaced)
    return event


def move(status: Status) -> MoveForward:
    """The command."""
    return MoveForward(status=status, comment=None, by=ANNA, now=NOON)


def roll_back(status: Status) -> RollBack:
    """The command."""
    return RollBack(status=status, comment=None, by=ANNA, now=NOON)


def cancel() -> CancelOrder:
    """The command."""
    return CancelOrder(comment=Sealed("sealed"), by=ANNA, now=NOON)


def report(issue_type: str = "wrong_address") -> ReportIssue:
    """The command."""
    return ReportIssue(issue_type=issue_type, comment=None, by=ANNA, now=NOON)


def add(new: OrderLine) -> AddLine:
    """The command."""
    return AddLine(line=new, by=ANNA, now=NOON)


def change(item_id: int, quantity: int) -> ChangeLine:
    """The command."""
    return ChangeLine(item_id=item_id, quantity=quantity, by=ANNA, now=NOON)


def history(*commands: OrderCommand) -> list[ShopEvent]:
    """The events of commands, one after the other."""

    def carried_out(events: list[ShopEvent], command: OrderCommand) -> list[ShopEvent]:
        return [*events, *ORDER.decide(ORDER.state_after(events), command)]

    return reduce(carried_out, commands, [])


def at(status: Status, method: Method = Method.DELIVERY) -> list[ShopEvent]:
    """The history of an order that has reached a state by the shortest way."""
    own = Status.DELIVERY if method == Method.DELIVERY else Status.SELF_PICKUP
    way = [Status.PAID, Status.ASSEMBLED, own, Status.DELIVERED, Status.COMPLETED]
    if method == Method.SELF_PICKUP:
        way.remove(Status.DELIVERED)
    if status == Status.NEW:
        steps: list[OrderCommand] = []
    elif status == Status.ISSUE:
        steps = [report()]
    else:
        steps = [move(one) for one in way[: way.index(status) + 1]]
    return history(place(method=method), *steps)
