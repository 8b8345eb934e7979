"""Tasks: created by hand, assigned, started, completed, checked, edited.

Texts are sealed with the key of the task's order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import TaskDetails, TaskItem
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext
from services.shop.orders.domain.decisions import OrderItemUnknown
from services.shop.orders.handlers.execution import load as load_order
from services.shop.orders.handlers.order import check_florist
from services.shop.orders.handlers.sealing import seal
from services.shop.production.domain.decisions import (
    TASK,
    AssignTask,
    CancelTask,
    ChangeItem,
    CheckQuality,
    CompleteTask,
    CreateTask,
    EditTask,
    StartTask,
    TaskCommand,
    TaskItemUnknown,
    WrongTaskStatus,
    step_to,
    with_changes,
)
from services.shop.production.domain.task import Task, TaskStatus
from services.shop.production.handlers.execution import carry_out, load

TASK_IDS: Final = Numbers("task_number")
ITEM_IDS: Final = Numbers("task_item_number")
TEXTS: Final = ("instructions", "florist_notes", "quality_notes")
"""The fields of `TaskDetails` that are sealed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTask:
    """A task to create by hand. `items` are lines of the order and their quantities."""

    order_id: int
    task_type: str
    priority: str
    estimated_minutes: int
    items: Sequence[tuple[int, int]]
    deadline: datetime | None = None
    instructions: str | None = None


async def create(context: ApiContext, new: NewTask, metadata: Metadata) -> int:
    """Create a task, and return its id. Raises OrderUnknown, OrderItemUnknown, Unavailable."""
    order = await load_order(context, metadata.tenant, new.order_id)
    known = {line.item_id for line in order.lines}
    if any(line not in known for line, _ in new.items):
        raise OrderItemUnknown
    task_id = await TASK_IDS.next(context.system)
    item_ids = await ITEM_IDS.several(context.system, len(new.items))
    command = CreateTask(
        task_id=task_id,
        order_id=new.order_id,
        task_type=new.task_type,
        details=TaskDetails(
            priority=new.priority,
            estimated_minutes=new.estimated_minutes,
            deadline=new.deadline,
            instructions=await seal(context, metadata.tenant, new.order_id, new.instructions),
        ),
        items=tuple(
            TaskItem(item_id=item_id, order_item_id=line, quantity=quantity)
            for item_id, (line, quantity) in zip(item_ids, new.items, strict=True)
        ),
        by=metadata.actor or "",
        now=context.clock(),
    )
    await execute(context.store, TASK, task_id, command, metadata=metadata)
    return task_id


async def assign(context: ApiContext, task_id: int, florist: int, metadata: Metadata) -> None:
    """Give a pending task to a florist, who may have others.

    Raises TaskUnknown, WrongTaskStatus, FloristUnknown, NotAFlorist, Unavailable.
    """
    await load(context, metadata.tenant, task_id)
    await check_florist(context, metadata.tenant, florist)
    command = AssignTask(florist=florist, by=metadata.actor or "", now=context.clock())
    await carry_out(context, task_id, command, metadata)


async def start(context: ApiContext, task_id: int, notes: str | None, metadata: Metadata) -> None:
    """The florist begins. Raises TaskUnknown, WrongTaskStatus, Unavailable."""
    sealed = await _sealed(context, task_id, notes, metadata)
    by, now = metadata.actor or "", context.clock()
    await carry_out(context, task_id, StartTask(notes=sealed, by=by, now=now), metadata)


async def complete(
    context: ApiContext,
    task_id: int,
    notes: str | None,
    actual_minutes: int | None,
    photos: Sequence[str],
    metadata: Metadata,
) -> None:
    """The florist is done. Raises TaskUnknown, WrongTaskStatus, Unavailable."""
    command = CompleteTask(
        notes=await _sealed(context, task_id, notes, metadata),
        actual_minutes=actual_minutes,
        result_photos=tuple(photos),
        by=metadata.actor or "",
        now=context.clock(),
    )
    await carry_out(context, task_id, command, metadata)


async def check_quality(
    context: ApiContext,
    task_id: int,
    score: int,
    notes: str | None,
    metadata: Metadata,
    *,
    is_approved: bool,
) -> None:
    """Approve or reject what was made. Raises TaskUnknown, WrongTaskStatus, Unavailable."""
    command = CheckQuality(
        is_approved=is_approved,
        quality_score=score,
        notes=await _sealed(context, task_id, notes, metadata),
        by=metadata.actor or "",
        now=context.clock(),
    )
    await carry_out(context, task_id, command, metadata)


async def cancel(context: ApiContext, task_id: int, metadata: Metadata) -> None:
    """Cancel a task that is not completed. Raises TaskUnknown, WrongTaskStatus, Unavailable."""
    command = CancelTask(by=metadata.actor or "", now=context.clock())
    await carry_out(context, task_id, command, metadata)


async def update(
    context: ApiContext, task_id: int, changes: Mapping[str, Any], metadata: Metadata
) -> None:
    """Replace fields of `TaskDetails`, and move the task to the `status` and the `florist_id` given
    with them, if that is one step.

    Raises TaskUnknown, WrongTaskStatus, FloristMissing, FloristUnknown, NotAFlorist, Unavailable.
    """
    task = await load(context, metadata.tenant, task_id)
    given = dict(changes)
    status, florist = given.pop("status", None), given.pop("florist_id", None)
    move = await _move(context, task, status, florist, metadata)
    if given:
        for name in TEXTS:
            if name in given:
                given[name] = await seal(context, metadata.tenant, task.order_id, given[name])
        by, now = metadata.actor or "", context.clock()
        command = EditTask(details=with_changes(task, **given), by=by, now=now)
        await carry_out(context, task_id, command, metadata)
    if move is not None:
        await carry_out(context, task_id, move, metadata)


async def change_item(
    context: ApiContext, task_id: int, item_id: int, changes: Mapping[str, Any], metadata: Metadata
) -> None:
    """Replace fields of a line's `TaskItem`; a completed one gets the time of now.

    Raises TaskUnknown, TaskItemUnknown, WrongTaskStatus, Unavailable.
    """
    task = await load(context, metadata.tenant, task_id)
    known = next((one for one in task.items if one.item_id == item_id), None)
    if known is None:
        raise TaskItemUnknown
    given, now = dict(changes), context.clock()
    if "quality_notes" in given:
        notes = given["quality_notes"]
        given["quality_notes"] = await seal(context, metadata.tenant, task.order_id, notes)
    if "is_completed" in given and given["is_completed"] != known.is_completed:
        given["completed_at"] = now if given["is_completed"] else None
    command = ChangeItem(item=replace(known, **given), by=metadata.actor or "", now=now)
    await carry_out(context, task_id, command, metadata)


async def _move(
    context: ApiContext, task: Task, status: str | None, florist: int | None, metadata: Metadata
) -> TaskCommand | None:
    """The command that leads to a state or a florist; None if the task is there already."""
    by, now = metadata.actor or "", context.clock()
    wanted = TaskStatus(status) if status else task.status
    if florist is None or florist == task.florist:
        return step_to(task, wanted, by, now)
    if task.status != TaskStatus.PENDING or wanted not in (TaskStatus.PENDING, TaskStatus.ASSIGNED):
        raise WrongTaskStatus(task.status, TaskStatus.PENDING)
    await check_florist(context, metadata.tenant, florist)
    return AssignTask(florist=florist, by=by, now=now)


async def _sealed(
    context: ApiContext, task_id: int, text: str | None, metadata: Metadata
) -> Sealed | None:
    task = await load(context, metadata.tenant, task_id)
    return await seal(context, metadata.tenant, task.order_id, text)
