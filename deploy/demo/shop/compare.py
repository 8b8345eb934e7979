"""Compares what people did with the state of the shop in the evening, line by line."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from deploy.demo.compare import Line, spelled
from deploy.demo.shop.ledger import RESERVING, WRITTEN_OFF, Placed, ShopLedger
from deploy.demo.shop.plan import LUCKY, RIVALS
from deploy.demo.shop.staff import Member, batches

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopState:
    """The state of the shop by its API: orders in detail, their tasks, batches each with its
    movements, customers, and how many messages the open pages got by kind of page."""

    orders: Sequence[Row]
    tasks: Sequence[Row]
    batches: Sequence[tuple[Row, Sequence[Row]]]
    customers: Sequence[Row]
    messages: Mapping[str, Counter[str]]


async def read(
    manager: Member, ledger: ShopLedger, messages: Mapping[str, Counter[str]]
) -> ShopState:
    """Ask for all of it, by the phones of the day's customers, not by what was answered."""
    get, day = manager.get, {"search": ledger.plan.phones, "limit": "100"}
    ids = [one["id"] for one in (await get("/api/orders/", **day))["items"]]
    goods = await batches(manager, ledger.plan)
    tasks = [get("/api/production/tasks/", order_id=str(number)) for number in ids]
    movements = [get(f"/api/warehouse/{one['id']}/movements", limit="100") for one in goods]
    return ShopState(
        orders=await asyncio.gather(*(get(f"/api/orders/{number}") for number in ids)),
        tasks=[task for page in await asyncio.gather(*tasks) for task in page["items"]],
        batches=[
            (batch, page["items"])
            for batch, page in zip(goods, await asyncio.gather(*movements), strict=True)
        ],
        customers=(await get("/api/customers/", **day))["items"],
        messages=messages,
    )


def lines(ledger: ShopLedger, state: ShopState) -> list[Line]:
    """All comparisons of the shop's day."""
    return [
        Line(what=f"shop: {what}", sent=sent, displayed=displayed)
        for part in (_orders, _money, _stock, _work)
        for what, sent, displayed in part(ledger, state)
    ]


Cells: TypeAlias = Iterator[tuple[str, object, object]]


def _orders(ledger: ShopLedger, state: ShopState) -> Cells:
    placed = ledger.placed.values()
    states = Counter(one.status for one in placed), Counter(one["status"] for one in state.orders)
    yield "orders by state", _counts(states[0]), _counts(states[1])
    by_id = {one["id"]: one for one in state.orders}
    wrong = [
        f"order {one.order_id}: {name}"
        for one in placed
        for name in _differences(ledger, one, by_id.get(one.order_id))
    ]
    what = "orders with products, prices, addresses, comments as sent"
    yield what, len(placed), _unless(wrong, len(placed))
    rivals = sum(one.plan.rival for one in placed)
    what = f"{RIVALS} want the same flower at once: sold, refused (409)"
    yield what, (LUCKY, RIVALS - LUCKY), (rivals, ledger.refused)
    manners = Counter(one.plan.manner for one in placed if one.plan.manner != "once")
    wrong = [f"order {number} of the plan" for number in ledger.contradicted]
    yield f"{_counts(manners)}: one order each", "yes", _unless(wrong, "yes")


def _money(ledger: ShopLedger, state: ShopState) -> Cells:
    placed, total = ledger.placed.values(), ledger.plan.total
    sent = sum(total(one.plan) for one in placed), sum(one.paid for one in placed)
    paid = sum(one["total"] for one in state.orders if one["payment_date"])
    yield "tenge ordered, paid", sent, (sum(one["total"] for one in state.orders), paid)
    yield "payments with a false signature, of a false sum", (403, 409), tuple(ledger.forged)
    bought = [one.plan for one in placed if one.status != "issue"]
    customers = len({one.phone for one in bought}), len(bought), sum(map(total, bought))
    # Who was refused is known to the shop, but has ordered nothing.
    buyers = [one for one in state.customers if one["orders_count"]]
    counted = (
        len({one["phone"] for one in state.customers} & {one["phone"] for one in buyers}),
        sum(one["orders_count"] for one in buyers),
        int(sum(one["total_spent"] for one in buyers)),
    )
    yield "customers, orders that were not cancelled, tenge spent", customers, counted
    phones = Counter(one["phone"] for one in state.customers)
    yield "customers with the phone of another", 0, len(state.customers) - len(phones)


def _stock(ledger: ShopLedger, state: ShopState) -> Cells:
    for variety in dict.fromkeys(one.variety for one in ledger.plan.goods):
        received = sum(one.stems for one in ledger.plan.goods if one.variety == variety)
        out, held = (ledger.taken(variety, states) for states in (WRITTEN_OFF, RESERVING))
        own = [(item, rows) for item, rows in state.batches if item["variety"] == variety]
        moved: Counter[str] = Counter()
        for row in (row for _, rows in own for row in rows):
            moved[row["reference_type"]] += row["quantity"]
        shows = (
            sum(item["reserved_qty"] for item, _ in own),
            sum(item["available_qty"] for item, _ in own),
        )
        yield (
            f"{variety}, stems received, written off, reserved, free",
            (received, out, held, received - out - held),
            (moved["delivery"], -moved["order"], *shows),
        )
    wrong = [
        str(item["batch_code"])
        for item, rows in state.batches
        if sum(row["quantity"] for row in rows) != item["qty"]
        or not 0 <= item["reserved_qty"] <= item["qty"]
        or any(row["qty_after"] < 0 for row in rows)
    ]
    what = "batches whose movements add up, never below zero"
    yield what, len(ledger.plan.goods), _unless(wrong, len(state.batches))


def _work(ledger: ShopLedger, state: ShopState) -> Cells:
    made = ledger.tasks["completed"]
    open_ = Counter(completed=made, pending=ledger.tasks["pending"] - made)
    yield "tasks by state", _counts(open_), _counts(Counter(one["status"] for one in state.tasks))
    for kind, sent in (("orders", ledger.moves), ("production", ledger.tasks)):
        what = f"messages to an open page of {kind}"
        yield what, _counts(sent), _counts(state.messages[kind])


def _differences(ledger: ShopLedger, order: Placed, row: Row | None) -> Iterator[str]:
    """The parts of an order that the shop shows otherwise than they were sent."""
    if row is None:
        yield "missing"
        return
    plan, prices = order.plan, ledger.plan.products
    items = {one["product_name"]: (one["quantity"], one["price"]) for one in row["items"]}
    sent = {
        "products": {name: (count, prices[name].price) for name, count in plan.lines.items()},
        "total": ledger.plan.total(plan),
        "phones": {plan.phone},
        "address": plan.new_address or plan.address,
        "comments": [plan.comment] if plan.comment else [],
    }
    displayed = {
        "products": items,
        "total": row["total"],
        "phones": {row["customer_phone"], row["recipient_phone"]},
        "address": row["address"] or None,
        "comments": [one["text"] for one in row["comments"]],
    }
    yield from (name for name, value in sent.items() if value != displayed[name])


def _counts(counts: Counter[str]) -> str:
    return spelled(dict(sorted((+counts).items())))


def _unless(wrong: Sequence[str], right: object) -> object:
    """What agrees, or the first differences."""
    return f"not {', '.join(wrong[:3])}" if wrong else right
