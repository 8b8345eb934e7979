"""The comparison of the shop's day: a perfect shop agrees, and each deviation is named."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from deploy.demo.compare import Line
from deploy.demo.shop.compare import ShopState, lines
from deploy.demo.shop.ledger import RESERVING, WRITTEN_OFF, Placed, ShopLedger
from deploy.demo.shop.plan import LUCKY, RIVALS, PlannedOrder, plan_shop

ENDS = {"rolled back": "assembled", "cancelled": "issue", "unpaid": "new"}


def a_day() -> ShopLedger:
    """A day on which everything went as planned."""
    ledger = ShopLedger(plan=plan_shop(7, tag="abc123", seconds=3600))
    ledger.refused, ledger.forged = RIVALS - LUCKY, [403, 409]
    for plan in ledger.plan.orders[: -ledger.refused]:
        order = ledger.place(Placed(order_id=plan.number + 1, plan=plan, token="token"))
        if plan.fate != "unpaid":
            ledger.pay(order)
            ledger.tasks["completed"] += plan.tasks
        ledger.move(order, ENDS.get(plan.fate, "delivered"))
    return ledger


def order_row(ledger: ShopLedger, order: Placed) -> dict[str, Any]:
    plan = order.plan
    return {
        "id": order.order_id,
        "status": order.status,
        "total": ledger.plan.total(plan),
        "payment_date": "today" if order.paid else None,
        "customer_phone": plan.phone,
        "recipient_phone": plan.phone,
        "address": plan.new_address or plan.address,
        "comments": [{"text": plan.comment}] if plan.comment else [],
        "items": [
            {
                "product_name": name,
                "quantity": count,
                "price": ledger.plan.products[name].price,
            }
            for name, count in plan.lines.items()
        ],
    }


def batch(ledger: ShopLedger, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A batch, the younger of two of a variety as the one that orders take from."""
    goods = ledger.plan.goods[number]
    is_last = goods.variety not in {one.variety for one in ledger.plan.goods[number + 1 :]}
    out, held = (
        ledger.taken(goods.variety, states) if is_last else 0 for states in (WRITTEN_OFF, RESERVING)
    )
    qty = goods.stems - out
    item = {"variety": goods.variety, "batch_code": f"B{number}", "qty": qty, "reserved_qty": held}
    movements = [
        {"reference_type": "delivery", "quantity": goods.stems, "qty_after": goods.stems},
        {"reference_type": "order", "quantity": -out, "qty_after": qty},
    ]
    return {**item, "available_qty": qty - held}, movements


def customer(ledger: ShopLedger, phone: str) -> dict[str, Any]:
    own = [one.plan for one in ledger.placed.values() if one.status != "issue"]
    own = [one for one in own if one.phone == phone]
    spent = sum(map(ledger.plan.total, own))
    return {"phone": phone, "orders_count": len(own), "total_spent": spent}


def perfect(ledger: ShopLedger) -> ShopState:
    return ShopState(
        orders=[order_row(ledger, one) for one in ledger.placed.values()],
        tasks=[{"status": "completed"}] * ledger.tasks["completed"],
        batches=[batch(ledger, number) for number in range(len(ledger.plan.goods))],
        customers=[customer(ledger, one) for one in {one.phone for one in ledger.plan.orders}],
        messages={"orders": Counter(ledger.moves), "production": Counter(ledger.tasks)},
    )


def disagreeing(found: list[Line]) -> list[str]:
    return [line.what for line in found if not line.agrees]


def test_a_day_that_went_well_agrees_in_all_lines() -> None:
    ledger = a_day()

    found = lines(ledger, perfect(ledger))

    assert disagreeing(found) == []
    assert len(found) > 12


def with_order(state: ShopState, **changes: Any) -> ShopState:
    first, *others = state.orders
    return replace(state, orders=[{**first, **changes}, *others])


def with_batch(state: ShopState, **changes: Any) -> ShopState:
    (item, rows), *others = state.batches
    return replace(state, batches=[({**item, **changes}, rows), *others])


def without_a_movement(state: ShopState) -> ShopState:
    *others, (item, rows) = state.batches
    return replace(state, batches=[*others, (item, rows[:1])])


def twice(counts: Counter[str], name: str) -> Mapping[str, Counter[str]]:
    return {"orders": counts + Counter([name])}


DEVIATIONS: Mapping[str, tuple[Callable[[ShopState], ShopState], str]] = {
    "an order is stored twice": (
        lambda state: replace(state, orders=[*state.orders, {**state.orders[0], "id": 99}]),
        "orders by state",
    ),
    "an order is lost": (
        lambda state: replace(state, orders=state.orders[1:]),
        "orders with products",
    ),
    "an address stayed": (lambda state: with_order(state, address="elsewhere"), "orders with"),
    "a comment is lost": (lambda state: with_order(state, comments=[{"text": "?"}]), "orders with"),
    "the page's price was believed": (lambda state: with_order(state, total=3), "tenge ordered"),
    "a payment is lost": (lambda state: with_order(state, payment_date=None), "tenge ordered"),
    "a phone is two customers": (
        lambda state: replace(state, customers=[*state.customers, state.customers[0]]),
        "customers with the phone",
    ),
    "stems stay reserved": (
        lambda state: with_batch(state, reserved_qty=1, available_qty=39),
        "stems received",
    ),
    "a batch is oversold": (lambda state: with_batch(state, reserved_qty=99), "batches whose"),
    "a movement is lost": (without_a_movement, "batches whose"),
    "a task is not made": (
        lambda state: replace(state, tasks=[*state.tasks[1:], {"status": "pending"}]),
        "tasks by state",
    ),
    "a message came twice": (
        lambda state: replace(
            state,
            messages={
                **state.messages,
                **twice(state.messages["orders"], "order_created"),
            },
        ),
        "page of orders",
    ),
}


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_a_deviation_is_named(deviation: str) -> None:
    change, named = DEVIATIONS[deviation]
    ledger = a_day()

    found = disagreeing(lines(ledger, change(perfect(ledger))))

    assert any(named in what for what in found), found


def test_a_flower_that_is_sold_too_often_is_named() -> None:
    ledger = a_day()
    ledger.refused -= 1
    rival: PlannedOrder = ledger.plan.orders[-1]
    ledger.move(ledger.place(Placed(order_id=99, plan=rival, token="token")), "paid")

    found = disagreeing(lines(ledger, perfect(ledger)))

    assert any("want the same flower" in what for what in found)


def test_a_forged_payment_and_a_double_click_with_two_answers_are_named() -> None:
    ledger = a_day()
    ledger.forged, ledger.contradicted = [200, 409], [5]

    found = disagreeing(lines(ledger, perfect(ledger)))

    assert len(found) == 2
    assert "false signature" in "".join(found)
    assert "one order each" in "".join(found)
