"""The queue: pending tasks are given to florists who are idle, late ones become urgent."""

from collections import deque
from typing import Final

from libs.eventsourcing.log import Metadata
from libs.http.paging import Slice
from services.shop.context import ApiContext, authorship
from services.shop.orders.handlers.order import check_florist
from services.shop.production.domain import decisions
from services.shop.production.domain.task import Priority
from services.shop.production.handlers.task import carry_out
from services.shop.production.read_models import IN_QUEUE, PENDING, TASK, TASKS, overdue

MOST_TASKS: Final = 500
"""The most tasks that one request gives out or changes."""


async def next_task(context: ApiContext, florist: int, metadata: Metadata) -> int | None:
    """Give the first pending task to an idle florist, and return its id.

    None if the florist has a task, or none is pending. In parallel each task is given once, and a
    florist gets one. Raises FloristUnknown, NotAFlorist, Unavailable.
    """
    await check_florist(context, metadata.tenant, florist)
    pending = await _pending(context, metadata.tenant)
    return await _give(context, pending, florist, metadata)


async def distribute(context: ApiContext, metadata: Metadata) -> tuple[int, int]:
    """Give the pending tasks, in their order, to the idle florists: one to each.

    Returns how many were given, and how many were pending. Raises Unavailable.
    """
    directory = await context.directories.find(metadata.tenant)
    pending = await _pending(context, metadata.tenant)
    total, given = len(pending), 0
    for florist in directory.florists() if directory else ():
        given += await _give(context, pending, florist.number, metadata) is not None
    return given, total


async def raise_overdue(context: ApiContext, metadata: Metadata) -> int:
    """Make the tasks urgent whose deadline has passed; their number. Raises Unavailable."""
    late = overdue(context.clock()) & (TASK.c.priority != Priority.URGENT)
    tasks, _ = await TASKS.page(context.reading, metadata.tenant, late, Slice(MOST_TASKS, 0))
    command = decisions.EditTask(
        changes={"priority": Priority.URGENT}, **authorship(context, metadata)
    )
    changed = [await carry_out(context, task.task_id, command, metadata) for task in tasks]
    return sum(changed)


async def _give(
    context: ApiContext, pending: deque[int], florist: int, metadata: Metadata
) -> int | None:
    """Give the first of the pending tasks to a florist; those given meanwhile are dropped."""
    command = decisions.AssignTask(florist=florist, **authorship(context, metadata))
    while pending:
        try:
            await carry_out(context, pending[0], command, metadata, must_be_idle=True)
        except decisions.FloristBusy:
            return None
        except decisions.WrongTaskStatus:
            pending.popleft()
        else:
            return pending.popleft()
    return None


async def _pending(context: ApiContext, tenant: str) -> deque[int]:
    part = Slice(MOST_TASKS, 0)
    tasks, _ = await TASKS.page(context.reading, tenant, PENDING, part, *IN_QUEUE)
    return deque(task.task_id for task in tasks)
