"""Which tasks are there, and who is at work on them? Texts in the states of tasks are sealed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Text,
    and_,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.shop import ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.filters import Filters, eq
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.query import Row
from libs.projections.projection import Projection
from libs.projections.states import StateTable
from services.shop.customers.read_models import CUSTOMER
from services.shop.orders.read_models.tables import ORDER
from services.shop.production.domain import decisions
from services.shop.production.domain.task import ACTIVE, OVER, Priority, Task, TaskStatus

RANK: Final = {priority: rank for rank, priority in enumerate(Priority)}


def _values(task: Task) -> Mapping[str, Any]:
    values = query.values_for(TASK, task, **query.values_for(TASK, task.present))
    item_ids = msgspec.json.encode([item.item_id for item in task.items]).decode()
    return {**values, "rank": RANK[Priority(task.present.priority)], "item_ids": item_ids}


TASKS: Final = StateTable(
    "task",
    decisions.TASK,
    Column("order_id", BigInteger, nullable=False),
    Column("item_ids", JSONB, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("florist", BigInteger),
    Column("estimated_minutes", Integer, nullable=False),
    Column("actual_minutes", Integer),
    Column("quality_score", Integer),
    Column("deadline", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    key="task_id",
    values=_values,
)
"""`rank` orders the queue by priority, 0 for urgent."""
TASK: Final = TASKS.table
FILTERS: Final = Filters(
    status=eq(TASK.c.status),
    priority=eq(TASK.c.priority),
    task_type=eq(TASK.c.task_type),
    florist_id=eq(TASK.c.florist),
    order_id=eq(TASK.c.order_id),
    item_id=lambda item_id: TASK.c.item_ids.contains([item_id]),
)
IN_QUEUE: Final = (TASK.c.rank, TASK.c.created_at, TASK.c.task_id)
"""Urgent tasks first, then the oldest (C8)."""
OPEN: Final = TASK.c.status.not_in(sorted(OVER))
PENDING: Final = FILTERS.where({"status": TaskStatus.PENDING})


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return TASKS.projection(shop.TASKS, codec_of(shop.EVENTS))


def overdue(now: datetime) -> ColumnElement[bool]:
    """Open tasks whose deadline has passed."""
    return and_(TASK.c.deadline < now, OPEN)


async def orders_of(pool: Pool, tenant: str, order_ids: Collection[int]) -> list[Row]:
    """Orders with their customers' names: `order_id`, `customer_phone`, `customer_name`, `lines`.

    Raises Unavailable.
    """
    customer = and_(
        CUSTOMER.c.tenant == ORDER.c.tenant, CUSTOMER.c.customer_id == ORDER.c.customer_id
    )
    columns = (ORDER.c.order_id, ORDER.c.customer_phone, ORDER.c.state["lines"].label("lines"))
    statement = (
        select(*columns, CUSTOMER.c.name.label("customer_name"))
        .select_from(ORDER.outerjoin(CUSTOMER, customer))
        .where(ORDER.c.order_id.in_(list(order_ids)))
    )
    async with tenant_transaction(pool, tenant) as connection:
        return await query.fetch(connection, statement)


async def statistics(pool: Pool, tenant: str, now: datetime) -> dict[str, Any]:
    """How many tasks there are, by state, type and priority; all but by state count open ones.

    Raises Unavailable.
    """
    by = (TASK.c.status, TASK.c.task_type, TASK.c.priority)
    late = func.count().filter(overdue(now)).label("overdue")
    statement = select(*by, func.count().label("number"), late).group_by(*by)
    async with tenant_transaction(pool, tenant) as connection:
        groups = await query.fetch(connection, statement)
    opened = [row for row in groups if row["status"] not in OVER]
    by_priority, by_status = _sums(opened, "priority"), _sums(groups, "status")
    return {
        "pending_tasks": by_status.get(TaskStatus.PENDING, 0),
        "assigned_tasks": by_status.get(TaskStatus.ASSIGNED, 0),
        "in_progress_tasks": by_status.get(TaskStatus.IN_PROGRESS, 0),
        "overdue_tasks": sum(row["overdue"] for row in opened),
        "urgent_tasks": by_priority.get(Priority.URGENT, 0),
        "tasks_by_type": _sums(opened, "task_type"),
        "tasks_by_priority": by_priority,
    }


async def loads(pool: Pool, tenant: str, today: datetime) -> Mapping[int, Row]:
    """What each florist with tasks has to do, and has done since the day began at `today`.

    Raises Unavailable.
    """
    active = TASK.c.status.in_(sorted(ACTIVE))
    done = and_(TASK.c.status == TaskStatus.COMPLETED, TASK.c.completed_at >= today)
    minutes = func.coalesce(func.sum(TASK.c.estimated_minutes).filter(active), 0)
    statement = select(
        TASK.c.florist,
        func.count().filter(active).label("active_tasks"),
        func.count().filter(done).label("completed_today"),
        minutes.label("estimated_minutes_remaining"),
        func.min(TASK.c.task_id).filter(active).label("current_task"),
    ).group_by(TASK.c.florist)
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, statement.where(TASK.c.florist.is_not(None)))
    return {row["florist"]: row for row in rows}


async def florist_statistics(
    pool: Pool, tenant: str, florist: int, now: datetime
) -> Mapping[str, Any]:
    """All that a florist had to do; averages are None without a task to count.

    Raises Unavailable.
    """
    completed = TASK.c.status == TaskStatus.COMPLETED
    statement = select(
        func.count().label("total_tasks"),
        func.count().filter(completed).label("completed_tasks"),
        func.count().filter(TASK.c.status == TaskStatus.IN_PROGRESS).label("in_progress_tasks"),
        func.avg(TASK.c.quality_score).label("average_quality_score"),
        func.avg(TASK.c.actual_minutes).filter(completed).label("average_completion_time"),
        func.count().filter(overdue(now)).label("overdue_tasks"),
    ).where(TASK.c.florist == florist)
    async with tenant_transaction(pool, tenant) as connection:
        return dict(await query.fetchrow(connection, statement) or {})


def _sums(groups: Sequence[Row], column: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in groups:
        sums[row[column]] = sums.get(row[column], 0) + row["number"]
    return sums
