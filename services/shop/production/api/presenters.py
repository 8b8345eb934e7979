"""Tasks as the shop's pages read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from contracts.shop import OrderLine
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.shop.context import ApiContext
from services.shop.production.domain.task import OVER, TaskUnknown
from services.shop.production.read_models import queries
from services.shop.production.read_models.projection import state_of

MINUTE_SECONDS: Final = 60


class TaskItemOut(BaseModel):
    """A line of a task."""

    id: int
    task_id: int
    order_item_id: int
    quantity: int
    is_completed: bool
    completed_at: datetime | None
    quality_approved: bool | None
    quality_notes: str | None


class TaskOrder(BaseModel):
    """The order of a task, as the board shows it."""

    id: int
    customer_name: str | None
    customer_phone: str
    products: str


class TaskOut(BaseModel):
    """A task. `time_spent` are minutes, until now if it is not completed."""

    id: int
    order_id: int
    task_type: str
    status: str
    priority: str
    florist_id: int | None
    estimated_minutes: int
    actual_minutes: int | None
    deadline: datetime | None
    instructions: str | None
    florist_notes: str | None
    quality_notes: str | None
    quality_score: int | None
    work_photos: list[str]
    result_photos: list[str]
    created_at: datetime
    assigned_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    is_overdue: bool
    time_spent: int
    items: list[TaskItemOut]
    order: TaskOrder | None


class Tasks(BaseModel):
    """A page of tasks."""

    items: list[TaskOut]
    total: int


async def read_task(shop: ApiContext, tenant: str, task_id: int) -> TaskOut:
    """A task. Raises TaskUnknown, Unavailable."""
    async with tenant_transaction(shop.reading, tenant) as connection:
        row = await queries.find(connection, task_id)
        if row is None:
            raise TaskUnknown
        (task,) = await tasks_of(connection, [row], shop.clock())
    return task


async def tasks_of(connection: Any, rows: Sequence[Row], now: datetime) -> list[TaskOut]:
    """Tasks with their lines and orders, in the order of the rows."""
    items: dict[int, list[TaskItemOut]] = {row["task_id"]: [] for row in rows}
    for item in await queries.items(connection, [*items]):
        items[item["task_id"]].append(item_of(item))
    found = await queries.orders_of(connection, list({row["order_id"] for row in rows}))
    orders = {row["order_id"]: _order(row) for row in found}
    return [_task(row, items[row["task_id"]], orders.get(row["order_id"]), now) for row in rows]


def item_of(row: Row) -> TaskItemOut:
    """A line of a task."""
    same = {name: row[name] for name in TaskItemOut.model_fields if name != "id"}
    return TaskItemOut(id=row["item_id"], **same)


def _task(row: Row, items: list[TaskItemOut], order: TaskOrder | None, now: datetime) -> TaskOut:
    own = {"id", "florist_id", "work_photos", "result_photos", "is_overdue", "time_spent"}
    own |= {"items", "order"}
    details = state_of(row).present
    deadline = row["deadline"]
    return TaskOut(
        **{name: row[name] for name in TaskOut.model_fields if name not in own},
        id=row["task_id"],
        florist_id=row["florist"],
        work_photos=list(details.work_photos),
        result_photos=list(details.result_photos),
        is_overdue=deadline is not None and deadline < now and row["status"] not in OVER,
        time_spent=_minutes(row, now),
        items=items,
        order=order,
    )


def _minutes(row: Row, now: datetime) -> int:
    if row["actual_minutes"] is not None:
        return int(row["actual_minutes"])
    if row["started_at"] is None:
        return 0
    taken = (row["completed_at"] or now) - row["started_at"]
    return max(0, int(taken.total_seconds()) // MINUTE_SECONDS)


def _order(row: Row) -> TaskOrder:
    lines = msgspec.json.decode(row["lines"], type=list[OrderLine])
    return TaskOrder(
        id=row["order_id"],
        customer_name=row["customer_name"],
        # Null if the person was forgotten.
        customer_phone=row["customer_phone"] or "",
        products=", ".join(f"{line.product_name} × {line.quantity}" for line in lines),
    )
