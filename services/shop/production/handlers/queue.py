"""The queue: pending tasks are given to florists who are idle, late ones become urgent."""

from dataclasses import dataclass
from typing import Final

from libs.eventsourcing.log import Metadata
from libs.postgres.pool import tenant_transaction
from services.shop.context import ApiContext
from services.shop.orders.handlers.order import check_florist
from services.shop.production.domain.decisions import (
    AssignTask,
    EditTask,
    FloristBusy,
    WrongTaskStatus,
    with_changes,
)
from services.shop.production.domain.task import Priority
from services.shop.production.handlers.execution import carry_out, load
from services.shop.production.read_models import queries

MOST_TASKS: Final = 500
"""The most tasks that one request gives out or changes."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many of the pending tasks found an idle florist."""

    distributed: int
    skipped: int
    total_pending: int


async def next_task(context: ApiContext, florist: int, metadata: Metadata) -> int | None:
    """Give the first pending task to an idle florist, and return its id.

    None if the florist has a task, or none is pending. In parallel each task is given once, and a
    florist gets one. Raises FloristUnknown, NotAFlorist, Unavailable.
    """
    await check_florist(context, metadata.tenant, florist)
    for task_id in await _pending(context, metadata.tenant):
        try:
            await _give(context, task_id, florist, metadata)
        except WrongTaskStatus:
            continue
        except FloristBusy:
            return None
        return task_id
    return None


async def distribute(context: ApiContext, metadata: Metadata) -> Distribution:
    """Give the pending tasks, in their order, to the idle florists: one to each.

    Raises Unavailable.
    """
    directory = await context.directories.find(metadata.tenant)
    idle = [one.number for one in directory.florists()] if directory else []
    pending = await _pending(context, metadata.tenant)
    distributed = 0
    for task_id in pending:
        while idle:
            try:
                await _give(context, task_id, idle[0], metadata)
            except FloristBusy:
                idle.pop(0)
                continue
            except WrongTaskStatus:
                break
            idle.pop(0)
            distributed += 1
            break
    return Distribution(distributed, len(pending) - distributed, len(pending))


async def raise_overdue(context: ApiContext, metadata: Metadata) -> int:
    """Make the tasks urgent whose deadline has passed; their number. Raises Unavailable."""
    by, now, changed = metadata.actor or "", context.clock(), 0
    async with tenant_transaction(context.reading, metadata.tenant) as connection:
        rows = await queries.overdue(connection, now, limit=MOST_TASKS, offset=0)
    for row in rows:
        task = await load(context, metadata.tenant, row["task_id"])
        if not task.is_open or task.present.priority == Priority.URGENT:
            continue
        details = with_changes(task, priority=Priority.URGENT)
        command = EditTask(details=details, by=by, now=now)
        await carry_out(context, task.task_id, command, metadata)
        changed += 1
    return changed


async def _give(context: ApiContext, task_id: int, florist: int, metadata: Metadata) -> None:
    command = AssignTask(florist=florist, by=metadata.actor or "", now=context.clock())
    await carry_out(context, task_id, command, metadata, must_be_idle=True)


async def _pending(context: ApiContext, tenant: str) -> list[int]:
    async with tenant_transaction(context.reading, tenant) as connection:
        return await queries.pending_ids(connection, limit=MOST_TASKS)
