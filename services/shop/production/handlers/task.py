"""Tasks: created by hand, assigned, moved, edited. Texts are sealed with the key of the order.

A command is appended together with what it means for the florist: all or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, Final

from contracts.shop import TaskDetails, TaskItem
from libs.errors import Unavailable
from libs.eventsourcing.execute import execute
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, Context, authorship
from services.shop.orders.domain.decisions import OrderItemUnknown
from services.shop.orders.handlers.execution import load as load_order
from services.shop.orders.handlers.order import check_florist
from services.shop.orders.handlers.sealing import seal
from services.shop.production.domain import decisions
from services.shop.production.domain.decisions import FLORIST, TASK
from services.shop.production.domain.task import Task, TaskStatus

ATTEMPTS: Final = 5
TASK_IDS: Final = Numbers("task_number")
ITEM_IDS: Final = Numbers("task_item_number")
TEXTS: Final = ("instructions", "florist_notes", "quality_notes")
"""The fields of `TaskDetails` and `TaskItem` that are sealed."""


class _OtherFlorist(Exception):
    """The task has another florist than when it was loaded."""


async def load(context: Context, tenant: str, task_id: int) -> Task:
    """A task by the log. Raises TaskUnknown, LogUnavailable."""
    history = await context.store.read(tenant, TASK.stream(task_id))
    task = TASK.state_after(history.events)
    _ = task.present
    return task


async def carry_out(
    context: Context,
    task_id: int,
    command: decisions.TaskCommand,
    metadata: Metadata,
    *,
    must_be_idle: bool = False,
) -> bool:
    """Append the events of a task's command and of its florist; whether there are any.

    With `must_be_idle` a florist who has an assigned or started task gets no other. Raises what the
    deciders raise, Unavailable.
    """
    decide = partial(_decide, task_id, command, must_be_idle)
    for _ in range(ATTEMPTS):
        florists = {(await load(context, metadata.tenant, task_id)).florist}
        if isinstance(command, decisions.AssignTask):
            florists.add(command.florist)
        aggregates: list[Aggregate] = [(FLORIST, one) for one in florists if one is not None]
        aggregates.append((TASK, task_id))
        try:
            executed = await execute_many(context.store, aggregates, decide, metadata=metadata)
        except _OtherFlorist:
            continue
        return bool(executed.events)
    raise Unavailable("task")


def _decide(
    task_id: int, command: decisions.TaskCommand, must_be_idle: bool, states: States
) -> Mapping[str, Sequence[Any]]:
    """For `execute_many`. Raises what the deciders raise, and _OtherFlorist."""
    before = states.of(TASK, task_id)
    events = TASK.decide(before, command)
    after = reduce(TASK.evolve, events, before)
    appended: dict[str, Sequence[Any]] = {TASK.stream(task_id): events}
    for change in decisions.florist_commands(before, after, command.now, must_be_idle=must_be_idle):
        try:
            florist = states.of(FLORIST, change.florist)
        except KeyError:
            raise _OtherFlorist from None
        appended[FLORIST.stream(change.florist)] = FLORIST.decide(florist, change)
    return appended


async def new_task(
    context: Context,
    order_id: int,
    task_type: str,
    details: TaskDetails,
    lines: Sequence[tuple[int, int]],
    metadata: Metadata,
) -> decisions.CreateTask:
    """The command for a task with new ids; `lines` are those of the order with quantities."""
    item_ids = await ITEM_IDS.several(context.system, len(lines))
    return decisions.CreateTask(
        task_id=await TASK_IDS.next(context.system),
        order_id=order_id,
        task_type=task_type,
        details=details,
        items=tuple(
            TaskItem(item_id=item_id, order_item_id=line, quantity=quantity)
            for item_id, (line, quantity) in zip(item_ids, lines, strict=True)
        ),
        **authorship(context, metadata),
    )


async def create(
    context: ApiContext,
    order_id: int,
    task_type: str,
    details: Mapping[str, Any],
    lines: Sequence[tuple[int, int]],
    metadata: Metadata,
) -> int:
    """Create a task with these `TaskDetails` by hand, and return its id.

    Raises OrderUnknown, OrderItemUnknown, Unavailable.
    """
    order = await load_order(context, metadata.tenant, order_id)
    if not {line for line, _ in lines} <= {line.item_id for line in order.lines}:
        raise OrderItemUnknown
    sealed = TaskDetails(**await _sealed(context, order_id, details, metadata))
    command = await new_task(context, order_id, task_type, sealed, lines, metadata)
    await execute(context.store, TASK, command.task_id, command, metadata=metadata)
    return command.task_id


async def assign(context: ApiContext, task_id: int, florist: int, metadata: Metadata) -> None:
    """Give a pending task to a florist, who may have others.

    Raises TaskUnknown, WrongTaskStatus, FloristUnknown, NotAFlorist, Unavailable.
    """
    await load(context, metadata.tenant, task_id)
    await check_florist(context, metadata.tenant, florist)
    command = decisions.AssignTask(florist=florist, **authorship(context, metadata))
    await carry_out(context, task_id, command, metadata)


async def carry_out_with_notes(
    context: ApiContext,
    task_id: int,
    command: decisions.NotedStep,
    notes: str | None,
    metadata: Metadata,
) -> None:
    """Carry out a command with notes. Raises TaskUnknown, WrongTaskStatus, Unavailable."""
    task = await load(context, metadata.tenant, task_id)
    sealed = await seal(context, metadata.tenant, task.order_id, notes)
    await carry_out(context, task_id, replace(command, notes=sealed), metadata)


async def update(
    context: ApiContext, task_id: int, changes: Mapping[str, Any], metadata: Metadata
) -> None:
    """Replace fields of `TaskDetails`, and move the task to the `status` and the `florist_id` given
    with them, if that is one step.

    Raises TaskUnknown, WrongTaskStatus, FloristMissing, FloristUnknown, NotAFlorist, Unavailable.
    """
    task, given = await load(context, metadata.tenant, task_id), dict(changes)
    author = authorship(context, metadata)
    wanted, florist = TaskStatus(given.pop("status", task.status)), given.pop("florist_id", None)
    step = decisions.step_to(task, wanted, florist, **author)
    if isinstance(step, decisions.AssignTask):
        await check_florist(context, metadata.tenant, step.florist)
    if given:
        sealed = await _sealed(context, task.order_id, given, metadata)
        await carry_out(context, task_id, decisions.EditTask(changes=sealed, **author), metadata)
    if step is not None:
        await carry_out(context, task_id, step, metadata)


async def change_item(
    context: ApiContext, task: Task, item_id: int, changes: Mapping[str, Any], metadata: Metadata
) -> None:
    """Replace fields of a line's `TaskItem`; a completed one gets the time of now.

    Raises TaskUnknown, TaskItemUnknown, WrongTaskStatus, Unavailable.
    """
    sealed = await _sealed(context, task.order_id, changes, metadata)
    command = decisions.ChangeItem(item_id=item_id, changes=sealed, **authorship(context, metadata))
    await carry_out(context, task.task_id, command, metadata)


async def _sealed(
    context: ApiContext, order_id: int, values: Mapping[str, Any], metadata: Metadata
) -> dict[str, Any]:
    """The values, with the texts among them sealed."""
    return {
        name: await seal(context, metadata.tenant, order_id, value) if name in TEXTS else value
        for name, value in values.items()
    }
