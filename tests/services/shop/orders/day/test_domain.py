"""What the events of an order add to the figures of their days."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from contracts.shop import DayClosed, ShopEvent
from services.shop.orders.day.domain import DAY, CloseDay, DayToCome, Money, added
from services.shop.orders.domain.commands import OrderCommand, ReceivePayment
from services.shop.orders.domain.status import Method, Status
from tests.services.shop.orders.orders import (
    ANNA,
    DETAILS,
    NOON,
    at,
    cancel,
    change,
    history,
    move,
    place,
    report,
    roll_back,
)

TODAY = date(2026, 3, 7)
TOTAL = 31_500
CASH = place(details=replace(DETAILS, payment_method="cash"))
KASPI = ReceivePayment(payment_id="k-1", payment_method="kaspi", amount=TOTAL, by="", now=NOON)


def figures(events: Sequence[ShopEvent]) -> dict[str, int]:
    """The sums of all events, without those of 0."""
    money, sums = Money(), Counter[str]()
    for event in events:
        money, _, more = added(money, event)
        sums.update(more)
    return {name: amount for name, amount in sums.items() if amount}


PLACED = {"placed": 1, "flower_sum": 30_000, "delivery_fees": 1500}


@pytest.mark.parametrize(
    ("commands", "more"),
    [
        ([], {}),
        ([move(Status.PAID)], {"moved.paid": 1, "received.cash": TOTAL}),
        ([KASPI], {"moved.paid": 1, "received.kaspi": TOTAL}),
        (
            [move(Status.PAID), KASPI],
            {"moved.paid": 1, "received.cash": TOTAL, "received.kaspi": TOTAL},
        ),
        ([move(Status.PAID), roll_back(Status.NEW)], {"moved.paid": 1, "moved.new": 1}),
        (
            [KASPI, roll_back(Status.NEW), move(Status.PAID)],
            {"moved.paid": 2, "moved.new": 1, "received.kaspi": TOTAL},
        ),
        ([change(11, 1)], {"flower_sum": 15_000}),
        ([report()], {"moved.issue": 1}),
        ([cancel()], {"moved.issue": 1, "cancelled": 1, "cancelled_sum": TOTAL}),
        ([cancel(), roll_back(Status.NEW)], {"moved.issue": 1, "moved.new": 1}),
    ],
)
def test_each_event_adds_to_the_figures(commands: list[OrderCommand], more: dict[str, int]) -> None:
    assert figures(history(CASH, *commands)) == PLACED | more


def test_an_order_without_a_payment_method_is_paid_by_an_unknown_one() -> None:
    collected = figures(at(Status.COMPLETED, Method.SELF_PICKUP))

    assert collected["received.unknown"] == collected["flower_sum"] + collected["delivery_fees"]
    assert {name for name in collected if name.startswith("moved.")} == {
        *("moved.paid", "moved.assembled", "moved.self_pickup", "moved.completed"),
    }


def close(position: int, day: date = TODAY, **figures: int) -> CloseDay:
    """The command."""
    return CloseDay(day=day, today=TODAY, figures=figures, position=position, by=ANNA, now=NOON)


def closed(*commands: CloseDay) -> list[DayClosed]:
    """The closings of one day."""
    events: list[ShopEvent] = []
    for command in commands:
        events += DAY.decide(DAY.state_after(events), command)
    return [one for one in events if isinstance(one, DayClosed)]


def test_a_day_is_closed_again_only_with_other_figures_and_names_the_difference() -> None:
    first, second = closed(
        *(close(5, placed=1, cancelled=1), close(6, placed=1, cancelled=1), close(9, placed=3)),
    )

    assert (first.figures, first.corrects, first.position) == (
        {"placed": 1, "cancelled": 1},
        None,
        5,
    )
    assert (second.figures, second.corrects) == ({"placed": 3}, {"placed": 2, "cancelled": -1})


def test_an_earlier_reading_of_the_figures_corrects_no_later_one() -> None:
    assert len(closed(close(9, placed=3), close(5, placed=1))) == 1


def test_a_day_without_events_can_be_closed() -> None:
    assert [one.figures for one in closed(close(0))] == [{}]


def test_a_day_to_come_cannot_be_closed() -> None:
    with pytest.raises(DayToCome):
        closed(close(0, TODAY + timedelta(days=1)))
