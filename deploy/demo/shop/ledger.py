"""What was done on the shop's day, by the answers that people got."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from deploy.demo.shop.plan import PlannedOrder, ShopPlan

RESERVING: Final = frozenset({"new", "paid", "assembled"})
WRITTEN_OFF: Final = frozenset({"delivery", "self_pickup", "delivered", "completed"})


@dataclass(kw_only=True, slots=True)
class Placed:
    """An order that was placed, its link, and its state of now."""

    order_id: int
    plan: PlannedOrder
    token: str
    status: str = "new"
    paid: int = 0


@dataclass(kw_only=True, slots=True)
class ShopLedger:
    """What people did. `contradicted` are double clicks with two answers, `forged` the answers to
    forged payments. `moves` are the messages that pages of orders must get, of which
    moves are written `new → paid`; `tasks` counts the states that tasks got into."""

    plan: ShopPlan
    placed: dict[int, Placed] = field(default_factory=dict)
    refused: int = 0
    contradicted: list[int] = field(default_factory=list)
    forged: list[int] = field(default_factory=list)
    moves: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)

    def place(self, order: Placed) -> Placed:
        """An order was placed."""
        self.moves["order_created"] += 1
        self.placed[order.order_id] = order
        return order

    def move(self, order: Placed, status: str) -> None:
        """An order has another state."""
        self.moves[f"{order.status} → {status}"] += 1
        order.status = status

    def pay(self, order: Placed) -> None:
        """An order was paid: its tasks are created."""
        order.paid = self.plan.total(order.plan)
        self.move(order, "paid")
        self.tasks["pending"] += order.plan.tasks

    def taken(self, variety: str, statuses: frozenset[str]) -> int:
        """The stems of a variety that orders in these states take."""
        orders = [one.plan for one in self.placed.values() if one.status in statuses]
        return sum(self.plan.stems(one)[variety] for one in orders)
