"""Tasks as the shop's pages read them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import msgspec
from pydantic import BaseModel, Field

from contracts.shop import OrderLine
from libs.postgres.query import Row
from libs.security.data_keys import text_of
from services.shop.context import ApiContext
from services.shop.orders.handlers.sealing import subject_of
from services.shop.production.domain.task import Task
from services.shop.production.handlers.task import TEXTS
from services.shop.production.read_models import orders_of


class TaskItemOut(BaseModel):
    """A line of a task."""

    id: int = Field(validation_alias="item_id")
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

    id: int = Field(validation_alias="task_id")
    order_id: int
    task_type: str
    status: str
    priority: str
    florist_id: int | None = Field(validation_alias="florist")
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


async def present(shop: ApiContext, tenant: str, tasks: Sequence[Task]) -> list[TaskOut]:
    """Tasks with their lines and orders. Texts of forgotten persons are null.

    Raises Unavailable.
    """
    sealed = [
        (subject_of(tenant, task.order_id), getattr(part, name))
        for task in tasks
        for part in (task.present, *task.items)
        for name in TEXTS
        if hasattr(part, name)
    ]
    opened = await shop.vault.open_many(sealed)
    texts = {text: text_of(clear) for (_, text), clear in zip(sealed, opened, strict=True)}
    rows = await orders_of(shop.reading, tenant, {task.order_id for task in tasks})
    orders = {row["order_id"]: _order(row) for row in rows}
    now = shop.clock()
    return [
        TaskOut.model_validate(
            {
                **asdict(task),
                **asdict(task.present),
                **{name: texts[getattr(task.present, name)] for name in TEXTS},
                "items": [
                    {
                        **asdict(item),
                        "task_id": task.task_id,
                        "quality_notes": texts[item.quality_notes],
                    }
                    for item in task.items
                ],
                "order": orders.get(task.order_id),
                "is_overdue": task.is_overdue(now),
                "time_spent": task.minutes_spent(now),
            }
        )
        for task in tasks
    ]


def _order(row: Row) -> TaskOrder:
    lines = msgspec.json.decode(row["lines"], type=list[OrderLine])
    return TaskOrder(
        id=row["order_id"],
        customer_name=row["customer_name"],
        # Null if the person was forgotten.
        customer_phone=row["customer_phone"] or "",
        products=", ".join(f"{line.product_name} × {line.quantity}" for line in lines),
    )
