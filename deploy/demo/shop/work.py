"""What the staff does with an order: florists make it, a courier brings it, the manager helps."""

import asyncio
from collections import defaultdict
from typing import Any, Final

from deploy.demo.dashboard import NoAnswer
from deploy.demo.shop.ledger import Placed, ShopLedger
from deploy.demo.shop.staff import ANSWER_LOST, Member

TASKS: Final = "/api/production/tasks/"
IDLE_SECONDS: Final = 0.15
"""How long a florist without a task waits before asking for the next one."""
REJECTED: Final = 4
"""One of so many tasks is not made well enough at first."""
REJECTION: Final = {"quality_score": 2, "quality_approved": False, "quality_notes": "Лист помят"}
APPROVAL: Final = {"quality_score": 5, "quality_approved": True}


class Workshop:
    """The florists' part. An order is made once the last of its tasks was approved."""

    def __init__(self, ledger: ShopLedger, *, patience: float) -> None:
        self._ledger = ledger
        self._patience = patience
        self._begun: set[int] = set()
        self._approved: defaultdict[int, list[Member]] = defaultdict(list)
        self._made: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def work(self, florist: Member) -> None:
        """Take task after task, until cancelled. Raises NoAnswer."""
        while True:
            if (task := await self._next(florist)) is None:
                await asyncio.sleep(IDLE_SECONDS)
            else:
                await self._make(florist, task)

    async def wait_made(self, order: Placed) -> Member:
        """Wait until an order is made; the florist who made the last part. Raises NoAnswer."""
        approved, number = self._approved[order.order_id], order.order_id
        try:
            async with asyncio.timeout(self._patience):
                await self._made[number].wait()
        except TimeoutError:
            counts = f"{len(approved)} of its {order.plan.tasks} tasks were made"
            raise NoAnswer(f"order {number} was paid, but {counts}") from None
        return approved[-1]

    async def _next(self, florist: Member) -> dict[str, Any] | None:
        path = f"/api/production/queue/get-next-task/{florist.user_id}"
        task: dict[str, Any] | None = (await florist.request("POST", path)).body
        if task is None:
            # There is none, or the answer that gave one was lost.
            query = {"florist_id": str(florist.user_id), "status": "assigned"}
            listed = (await florist.get(TASKS, **query))["items"]
            # After an outage a list may lag behind what was done.
            task = next((one for one in listed if one["id"] not in self._begun), None)
        return task

    async def _make(self, florist: Member, task: dict[str, Any]) -> None:
        async def step(name: str, state: str, body: dict[str, Any] | None = None) -> None:
            # 409: it was done, but the answer was lost.
            await florist.request("POST", f"{TASKS}{task['id']}/{name}", also=409, json=body or {})
            self._ledger.tasks[state] += 1

        self._begun.add(task["id"])
        self._ledger.tasks["assigned"] += 1
        await step("start", "in_progress")
        await step("complete", "quality_check", {"actual_minutes": 20})
        if self._ledger.tasks["assigned"] % REJECTED == 0:
            await step("quality-check", "in_progress", REJECTION)
            await step("complete", "quality_check")
        await step("quality-check", "completed", APPROVAL)
        order = self._ledger.placed[task["order_id"]]
        self._approved[order.order_id].append(florist)
        if len(self._approved[order.order_id]) == order.plan.tasks:
            self._made[order.order_id].set()


async def cancel_leftovers(manager: Member) -> None:
    """Cancel the open tasks of an earlier day that was broken off."""
    for status in ("pending", "assigned", "in_progress", "quality_check"):
        for task in (await manager.get(TASKS, status=status, limit="1000"))["items"]:
            await manager.request("POST", f"{TASKS}{task['id']}/cancel", also=409)


async def move(member: Member, ledger: ShopLedger, order: Placed, status: str) -> None:
    """Move an order to its next state."""
    path = f"/api/orders/{order.order_id}/status"
    await member.request("PATCH", path, json={"status": status})
    ledger.move(order, status)


async def hand_over(manager: Member, courier: Member, ledger: ShopLedger, order: Placed) -> None:
    """What follows when an order is made: a delivery, a pickup, or what its plan says."""
    path = f"/api/orders/{order.order_id}"
    if order.plan.fate == "cancelled":
        body = {"cancellation_reason": "Клиент передумал"}
        await manager.request("POST", f"{path}/cancel", also=ANSWER_LOST, json=body)
        ledger.move(order, "issue")
    elif order.plan.address is None:
        await move(manager, ledger, order, "self_pickup")
        await move(manager, ledger, order, "completed")
    elif order.plan.fate == "rolled back":
        await move(courier, ledger, order, "delivery")
        body = {"target_status": "assembled", "reason": "Никого нет дома"}
        await manager.request("POST", f"{path}/rollback-status", also=ANSWER_LOST, json=body)
        ledger.move(order, "assembled")
    else:
        await move(courier, ledger, order, "delivery")
        await move(courier, ledger, order, "delivered")
