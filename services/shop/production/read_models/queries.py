"""Queries about tasks and florists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select

from libs.postgres import query
from libs.postgres.filters import Filters, eq
from libs.postgres.pool import Connection
from libs.postgres.query import Row
from services.shop.customers.read_models import CUSTOMER
from services.shop.orders.read_models.tables import ORDER
from services.shop.production.domain.task import ACTIVE, OVER, Priority, TaskStatus
from services.shop.production.read_models.projection import ITEM, TASK

FILTERS: Final = Filters(
    status=eq(TASK.c.status),
    priority=eq(TASK.c.priority),
    task_type=eq(TASK.c.task_type),
    florist_id=eq(TASK.c.florist),
    order_id=eq(TASK.c.order_id),
)
IN_QUEUE: Final = (TASK.c.rank, TASK.c.created_at, TASK.c.task_id)
"""Urgent tasks first, then the oldest (C8)."""
OPEN: Final = TASK.c.status.not_in(sorted(OVER))


@dataclass(frozen=True, kw_only=True, slots=True)
class FloristLoad:
    """What a florist has to do, and has done since the day began."""

    active_tasks: int
    completed_today: int
    estimated_minutes_remaining: int
    current_task: int | None


async def page(
    connection: Connection, values: Mapping[str, Any], *, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Tasks in the order of the queue, and how many match. Rows have the columns of `TASK`."""
    where = FILTERS.where(values)
    rows = await query.fetch(
        connection,
        select(TASK).where(where).order_by(*IN_QUEUE).limit(limit).offset(offset),
    )
    total = await query.fetchval(connection, select(func.count()).select_from(TASK).where(where))
    return rows, total


async def find(connection: Connection, task_id: int) -> Row | None:
    """A task. The row has the columns of `TASK`."""
    return await query.fetchrow(connection, select(TASK).where(TASK.c.task_id == task_id))


async def find_many(connection: Connection, task_ids: Sequence[int]) -> list[Row]:
    """Tasks with these ids, by id."""
    statement = select(TASK).where(TASK.c.task_id.in_(list(task_ids))).order_by(TASK.c.task_id)
    return await query.fetch(connection, statement)


async def items(connection: Connection, task_ids: Sequence[int]) -> list[Row]:
    """The lines of tasks, by id. Rows have the columns of `ITEM`."""
    statement = select(ITEM).where(ITEM.c.task_id.in_(list(task_ids))).order_by(ITEM.c.item_id)
    return await query.fetch(connection, statement)


async def find_item(connection: Connection, item_id: int) -> Row | None:
    """A line of a task."""
    return await query.fetchrow(connection, select(ITEM).where(ITEM.c.item_id == item_id))


async def overdue(connection: Connection, now: datetime, *, limit: int, offset: int) -> list[Row]:
    """Open tasks whose deadline has passed, the latest first."""
    return await query.fetch(
        connection,
        select(TASK)
        .where(_is_overdue(now))
        .order_by(TASK.c.deadline, TASK.c.task_id)
        .limit(limit)
        .offset(offset),
    )


async def pending_ids(connection: Connection, *, limit: int) -> list[int]:
    """The ids of pending tasks, in the order of the queue."""
    statement = select(TASK.c.task_id).where(TASK.c.status == TaskStatus.PENDING)
    rows = await query.fetch(connection, statement.order_by(*IN_QUEUE).limit(limit))
    return [row["task_id"] for row in rows]


async def open_tasks_of(connection: Connection, tenant: str, order_id: int) -> list[int]:
    """The ids of the open tasks of an order."""
    statement = select(TASK.c.task_id).where(
        TASK.c.tenant == tenant, TASK.c.order_id == order_id, OPEN
    )
    return [row["task_id"] for row in await query.fetch(connection, statement)]


async def orders_of(connection: Connection, order_ids: Sequence[int]) -> list[Row]:
    """The orders of tasks with their customers' names: `order_id`, `customer_name`, …"""
    customer = and_(
        CUSTOMER.c.tenant == ORDER.c.tenant, CUSTOMER.c.customer_id == ORDER.c.customer_id
    )
    statement = (
        select(
            ORDER.c.order_id,
            ORDER.c.customer_phone,
            ORDER.c.state["lines"].label("lines"),
            CUSTOMER.c.name.label("customer_name"),
        )
        .select_from(ORDER.outerjoin(CUSTOMER, customer))
        .where(ORDER.c.order_id.in_(list(order_ids)))
    )
    return await query.fetch(connection, statement)


async def statistics(connection: Connection, now: datetime) -> dict[str, Any]:
    """How many tasks there are, by state, type and priority; all but by state count open ones."""
    groups = await query.fetch(
        connection,
        select(
            TASK.c.status,
            TASK.c.task_type,
            TASK.c.priority,
            func.count().label("number"),
            func.count().filter(_is_overdue(now)).label("overdue"),
        ).group_by(TASK.c.status, TASK.c.task_type, TASK.c.priority),
    )
    opened = [row for row in groups if row["status"] not in OVER]
    by_priority = _sums(opened, "priority")
    by_status = _sums(groups, "status")
    return {
        "pending_tasks": by_status.get(TaskStatus.PENDING, 0),
        "assigned_tasks": by_status.get(TaskStatus.ASSIGNED, 0),
        "in_progress_tasks": by_status.get(TaskStatus.IN_PROGRESS, 0),
        "overdue_tasks": sum(row["overdue"] for row in opened),
        "urgent_tasks": by_priority.get(Priority.URGENT, 0),
        "tasks_by_type": _sums(opened, "task_type"),
        "tasks_by_priority": by_priority,
    }


async def loads(
    connection: Connection, florists: Sequence[int], today: datetime
) -> Mapping[int, FloristLoad]:
    """The load of each florist; `today` is when the day began."""
    active = TASK.c.status.in_(sorted(ACTIVE))
    done = and_(TASK.c.status == TaskStatus.COMPLETED, TASK.c.completed_at >= today)
    minutes = func.coalesce(func.sum(TASK.c.estimated_minutes).filter(active), 0)
    rows = await query.fetch(
        connection,
        select(
            TASK.c.florist,
            func.count().filter(active).label("active_tasks"),
            func.count().filter(done).label("completed_today"),
            minutes.label("estimated_minutes_remaining"),
            func.min(TASK.c.task_id).filter(active).label("current_task"),
        )
        .where(TASK.c.florist.in_(list(florists)))
        .group_by(TASK.c.florist),
    )
    known = {row["florist"]: query.row_as(FloristLoad, row) for row in rows}
    idle = FloristLoad(
        active_tasks=0, completed_today=0, estimated_minutes_remaining=0, current_task=None
    )
    return {florist: known.get(florist, idle) for florist in florists}


async def florist_statistics(connection: Connection, florist: int, now: datetime) -> dict[str, Any]:
    """All that a florist had to do; averages are None without a task to count."""
    completed = TASK.c.status == TaskStatus.COMPLETED
    row = await query.fetchrow(
        connection,
        select(
            func.count().label("total_tasks"),
            func.count().filter(completed).label("completed_tasks"),
            func.count().filter(TASK.c.status == TaskStatus.IN_PROGRESS).label("in_progress_tasks"),
            func.avg(TASK.c.quality_score).label("average_quality_score"),
            func.avg(TASK.c.actual_minutes).filter(completed).label("average_completion_time"),
            func.count().filter(_is_overdue(now)).label("overdue_tasks"),
        ).where(TASK.c.florist == florist),
    )
    return dict(row) if row else {}


def _is_overdue(now: datetime) -> ColumnElement[bool]:
    return and_(TASK.c.deadline < now, OPEN)


def _sums(groups: Sequence[Row], column: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in groups:
        sums[row[column]] = sums.get(row[column], 0) + row["number"]
    return sums
