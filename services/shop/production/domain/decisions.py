"""The decisions about tasks and florists (spec shop §6)."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import Final, TypeAlias, assert_never

from contracts.envelope import Sealed
from contracts.shop import (
    FloristTasksChanged,
    ShopEvent,
    TaskApproved,
    TaskAssigned,
    TaskCancelled,
    TaskClosed,
    TaskCompleted,
    TaskCreated,
    TaskDetails,
    TaskEdited,
    TaskItem,
    TaskItemChanged,
    TaskRejected,
    TaskStarted,
)
from libs.errors import Refused, Unfit
from libs.eventsourcing.decider import Decider
from services.shop.production.domain.task import (
    FloristTasks,
    Task,
    TaskStatus,
    TaskUnknown,
    evolve,
    florist_evolve,
)

MINUTE_SECONDS: Final = 60
GOOD_SCORE: Final = 5
"""The score of a task that is approved without one."""


class WrongTaskStatus(Refused):
    """Недопустимое действие в этом статусе задачи"""

    def __init__(self, status: TaskStatus, wanted: TaskStatus | None = None) -> None:
        allowed = f"; нужен статус {wanted}" if wanted else ""
        super().__init__(f"Недопустимое действие: задача в статусе {status}{allowed}")


class FloristBusy(Refused):
    """У флориста уже есть активная задача"""


class FloristMissing(Unfit):
    """Не указан флорист"""


class TaskItemUnknown(TaskUnknown):
    """Позиция задачи не найдена"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateTask:
    """Create a task."""

    task_id: int
    order_id: int
    task_type: str
    details: TaskDetails
    items: tuple[TaskItem, ...]
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTask:
    """Replace the details."""

    details: TaskDetails
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeItem:
    """Replace a line, which has the same id and belongs to the same line of the order."""

    item: TaskItem
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignTask:
    """Give a pending task to a florist."""

    florist: int
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StartTask:
    """The florist begins."""

    notes: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteTask:
    """The florist is done. Without `actual_minutes` they are counted from the start."""

    notes: Sealed | None
    by: str
    now: datetime
    actual_minutes: int | None = None
    result_photos: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckQuality:
    """Approve or reject what was made."""

    is_approved: bool
    quality_score: int
    notes: Sealed | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelTask:
    """The task is not wanted any more. One that is over is left if only `if_open`."""

    by: str
    now: datetime
    if_open: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseTask:
    """The order was assembled. A task that is over is left."""

    by: str
    now: datetime


TaskCommand: TypeAlias = (
    CreateTask
    | EditTask
    | ChangeItem
    | AssignTask
    | StartTask
    | CompleteTask
    | CheckQuality
    | CancelTask
    | CloseTask
)


def decide(task: Task, command: TaskCommand) -> list[ShopEvent]:
    """See `Decider`. Raises TaskUnknown, TaskItemUnknown, WrongTaskStatus."""
    match command:
        case CreateTask():
            return _created(command)
        case EditTask(details=details, by=by, now=now):
            if details == task.present:
                return []
            edited = TaskEdited(task_id=task.task_id, details=details, edited_by=by, edited_at=now)
            return [edited]
        case ChangeItem():
            return _item_changed(task, command)
        case _:
            _ = task.present
            return _move(task, command)


def _created(command: CreateTask) -> list[ShopEvent]:
    return [
        TaskCreated(
            task_id=command.task_id,
            order_id=command.order_id,
            task_type=command.task_type,
            details=command.details,
            items=command.items,
            created_by=command.by,
            created_at=command.now,
        )
    ]


def _item_changed(task: Task, command: ChangeItem) -> list[ShopEvent]:
    item = command.item
    known = next((one for one in task.items if one.item_id == item.item_id), None)
    if known is None:
        raise TaskItemUnknown
    if not task.is_open:
        raise WrongTaskStatus(task.status)
    if item == known:
        return []
    by, now = command.by, command.now
    return [TaskItemChanged(task_id=task.task_id, item=item, changed_by=by, changed_at=now)]


def _move(
    task: Task,
    command: AssignTask | StartTask | CompleteTask | CheckQuality | CancelTask | CloseTask,
) -> list[ShopEvent]:
    number, by, now = task.task_id, command.by, command.now
    match command:
        case AssignTask(florist=florist):
            _demand(task, TaskStatus.PENDING)
            return [TaskAssigned(task_id=number, florist=florist, assigned_by=by, assigned_at=now)]
        case StartTask(notes=notes):
            _demand(task, TaskStatus.ASSIGNED)
            return [TaskStarted(task_id=number, notes=notes, started_by=by, started_at=now)]
        case CompleteTask():
            _demand(task, TaskStatus.IN_PROGRESS)
            return [_completed(task, command)]
        case CheckQuality():
            _demand(task, TaskStatus.QUALITY_CHECK)
            return [_checked(number, command)]
        case CancelTask(if_open=if_open):
            if task.status == TaskStatus.COMPLETED and not if_open:
                raise WrongTaskStatus(task.status)
            cancelled = TaskCancelled(task_id=number, cancelled_by=by, cancelled_at=now)
            return [cancelled] if task.is_open else []
        case CloseTask():
            closed = TaskClosed(task_id=number, closed_by=by, closed_at=now)
            return [closed] if task.is_open else []
        case _:
            assert_never(command)


def _demand(task: Task, status: TaskStatus) -> None:
    if task.status != status:
        raise WrongTaskStatus(task.status, status)


def _completed(task: Task, command: CompleteTask) -> TaskCompleted:
    minutes = command.actual_minutes
    if minutes is None:
        taken = command.now - (task.started_at or command.now)
        minutes = max(1, ceil(taken.total_seconds() / MINUTE_SECONDS))
    return TaskCompleted(
        task_id=task.task_id,
        actual_minutes=minutes,
        notes=command.notes,
        result_photos=command.result_photos,
        completed_by=command.by,
        completed_at=command.now,
    )


def _checked(number: int, command: CheckQuality) -> TaskApproved | TaskRejected:
    score, notes, by, now = command.quality_score, command.notes, command.by, command.now
    if command.is_approved:
        return TaskApproved(
            task_id=number, quality_score=score, notes=notes, approved_by=by, approved_at=now
        )
    return TaskRejected(
        task_id=number, quality_score=score, notes=notes, rejected_by=by, rejected_at=now
    )


TASK: Final = Decider(category="task", initial=Task(), decide=decide, evolve=evolve)


def step_to(task: Task, wanted: TaskStatus, by: str, now: datetime) -> TaskCommand | None:
    """The command that leads to a state; None if the task is in it.

    Raises WrongTaskStatus, FloristMissing.
    """
    match task.status, wanted:
        case before, after if before == after:
            return None
        case TaskStatus.PENDING, TaskStatus.ASSIGNED:
            raise FloristMissing
        case TaskStatus.ASSIGNED, TaskStatus.IN_PROGRESS:
            return StartTask(notes=None, by=by, now=now)
        case TaskStatus.IN_PROGRESS, TaskStatus.QUALITY_CHECK:
            minutes = task.present.actual_minutes
            return CompleteTask(notes=None, by=by, now=now, actual_minutes=minutes)
        case TaskStatus.QUALITY_CHECK, TaskStatus.COMPLETED | TaskStatus.IN_PROGRESS:
            is_approved = wanted == TaskStatus.COMPLETED
            score = task.present.quality_score or GOOD_SCORE
            return CheckQuality(
                is_approved=is_approved, quality_score=score, notes=None, by=by, now=now
            )
        case _, TaskStatus.CANCELLED:
            return CancelTask(by=by, now=now)
        case _:
            raise WrongTaskStatus(task.status)


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeTask:
    """A task occupies the florist, who must be idle if `must_be_idle`."""

    florist: int
    task_id: int
    now: datetime
    must_be_idle: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveTask:
    """A task does not occupy the florist any more."""

    florist: int
    task_id: int
    now: datetime


def florist_decide(florist: FloristTasks, command: TakeTask | LeaveTask) -> list[ShopEvent]:
    """See `Decider`. Raises FloristBusy."""
    match command:
        case TakeTask(task_id=task_id, must_be_idle=must_be_idle):
            if must_be_idle and florist.tasks - {task_id}:
                raise FloristBusy
            tasks = florist.tasks | {task_id}
        case LeaveTask(task_id=task_id):
            tasks = florist.tasks - {task_id}
        case _:
            assert_never(command)
    if tasks == florist.tasks:
        return []
    number, now = command.florist, command.now
    return [FloristTasksChanged(florist=number, tasks=tuple(sorted(tasks)), changed_at=now)]


FLORIST: Final = Decider(
    category="florist", initial=FloristTasks(), decide=florist_decide, evolve=florist_evolve
)
"""A florist as an aggregate, by number: the tasks that are assigned or in progress."""


def florist_commands(
    before: Task, after: Task, now: datetime, *, must_be_idle: bool = False
) -> list[TakeTask | LeaveTask]:
    """What a change of a task means for its florist."""
    if before.busy_florist == after.busy_florist:
        return []
    number = after.task_id
    commands: list[TakeTask | LeaveTask] = []
    if (florist := before.busy_florist) is not None:
        commands.append(LeaveTask(florist=florist, task_id=number, now=now))
    if (florist := after.busy_florist) is not None:
        commands.append(
            TakeTask(florist=florist, task_id=number, now=now, must_be_idle=must_be_idle)
        )
    return commands


def with_changes(task: Task, **changes: object) -> TaskDetails:
    """The details of a task with others. Raises TaskUnknown."""
    return replace(task.present, **changes)  # type: ignore[arg-type]
