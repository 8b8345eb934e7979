"""Carrying out a command of a task, together with what it means for the florist."""

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any, Final

from libs.errors import Unavailable
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from services.shop.context import Context
from services.shop.production.domain.decisions import (
    FLORIST,
    TASK,
    AssignTask,
    TaskCommand,
    florist_commands,
)
from services.shop.production.domain.task import Task

ATTEMPTS: Final = 5


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
    command: TaskCommand,
    metadata: Metadata,
    *,
    must_be_idle: bool = False,
) -> None:
    """Append the events of a task's command and of its florist: all or nothing.

    With `must_be_idle` a florist who has an assigned or started task gets no other. Raises what the
    deciders raise, Unavailable.
    """
    decide = partial(_decide, task_id, command, must_be_idle)
    for _ in range(ATTEMPTS):
        florists = {(await load(context, metadata.tenant, task_id)).florist}
        if isinstance(command, AssignTask):
            florists.add(command.florist)
        aggregates: list[Aggregate] = [(FLORIST, one) for one in florists if one is not None]
        try:
            await execute_many(
                context.store, [(TASK, task_id), *aggregates], decide, metadata=metadata
            )
        except _OtherFlorist:
            continue
        return
    raise Unavailable("task")


def _decide(
    task_id: int, command: TaskCommand, must_be_idle: bool, states: States
) -> Mapping[str, Sequence[Any]]:
    """For `execute_many`. Raises what the deciders raise, and _OtherFlorist."""
    before = states.of(TASK, task_id)
    events = TASK.decide(before, command)
    after = reduce(TASK.evolve, events, before)
    appended: dict[str, Sequence[Any]] = {TASK.stream(task_id): events}
    for change in florist_commands(before, after, command.now, must_be_idle=must_be_idle):
        try:
            florist = states.of(FLORIST, change.florist)
        except KeyError:
            raise _OtherFlorist from None
        appended[FLORIST.stream(change.florist)] = FLORIST.decide(florist, change)
    return appended
