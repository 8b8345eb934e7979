"""The decisions about tasks and florists (spec shop §6)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from typing import Any, Final, TypeAlias, assert_never

from contracts import shop
from contracts.envelope import Sealed
from contracts.shop import ShopEvent, TaskDetails, TaskItem
from libs.errors import Refused, Unfit
from libs.eventsourcing.decider import Decider
from services.shop.production.domain.task import MINUTE_SECONDS, Task, TaskStatus, evolve

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Authored:
    """The fields of every command: the account that gives it, and when."""

    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateTask(Authored):
    """Create a task."""

    task_id: int
    order_id: int
    task_type: str
    details: TaskDetails
    items: tuple[TaskItem, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTask(Authored):
    """Replace the fields of `changes`, which are named as those of `TaskDetails`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeItem(Authored):
    """Replace the fields of `changes` in a line of an open task; they are those of `TaskItem`."""

    item_id: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignTask(Authored):
    """Give a pending task to a florist."""

    florist: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StartTask(Authored):
    """The florist begins."""

    notes: Sealed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteTask(Authored):
    """The florist is done. Without `actual_minutes` they are counted from the start."""

    notes: Sealed | None = None
    actual_minutes: int | None = None
    result_photos: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckQuality(Authored):
    """Approve or reject what was made."""

    is_approved: bool
    quality_score: int
    notes: Sealed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelTask(Authored):
    """The task is not wanted any more. One that is over is left if only `if_open`."""

    if_open: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseTask(Authored):
    """The order was assembled. A task that is over is left."""


NotedStep: TypeAlias = StartTask | CompleteTask | CheckQuality
Step: TypeAlias = AssignTask | NotedStep | CancelTask | CloseTask
TaskCommand: TypeAlias = CreateTask | EditTask | ChangeItem | Step


def decide(task: Task, command: TaskCommand) -> list[ShopEvent]:
    """See `Decider`. Raises TaskUnknown, TaskItemUnknown, WrongTaskStatus."""
    number, by, now = task.task_id, command.by, command.now
    match command:
        case CreateTask(task_id=number):
            created = shop.TaskCreated(
                task_id=number,
                order_id=command.order_id,
                task_type=command.task_type,
                details=command.details,
                items=command.items,
                created_by=by,
                created_at=now,
            )
            return [created]
        case EditTask(changes=changes):
            details = replace(task.present, **changes)
            edited = shop.TaskEdited(task_id=number, details=details, edited_by=by, edited_at=now)
            return [edited] if details != task.present else []
        case ChangeItem():
            before, item = task.item(command.item_id), _changed_item(task, command)
            changed = shop.TaskItemChanged(task_id=number, item=item, changed_by=by, changed_at=now)
            return [changed] if item != before else []
        case _:
            _ = task.present
            return _step(task, command)


def _changed_item(task: Task, command: ChangeItem) -> TaskItem:
    before = task.item(command.item_id)
    if not task.is_open:
        raise WrongTaskStatus(task.status)
    after = replace(before, **command.changes)
    if after.is_completed == before.is_completed:
        return after
    return replace(after, completed_at=command.now if after.is_completed else None)


def _step(task: Task, command: Step) -> list[ShopEvent]:
    number, by, now = task.task_id, command.by, command.now
    match command:
        case AssignTask(florist=florist):
            _demand(task, TaskStatus.PENDING)
            return [
                shop.TaskAssigned(task_id=number, florist=florist, assigned_by=by, assigned_at=now)
            ]
        case StartTask(notes=notes):
            _demand(task, TaskStatus.ASSIGNED)
            return [shop.TaskStarted(task_id=number, notes=notes, started_by=by, started_at=now)]
        case CompleteTask():
            _demand(task, TaskStatus.IN_PROGRESS)
            return [_completed(task, command)]
        case CheckQuality():
            _demand(task, TaskStatus.QUALITY_CHECK)
            return [_checked(number, command)]
        case CancelTask(if_open=if_open):
            if task.status == TaskStatus.COMPLETED and not if_open:
                raise WrongTaskStatus(task.status)
            cancelled = shop.TaskCancelled(task_id=number, cancelled_by=by, cancelled_at=now)
            return [cancelled] if task.is_open else []
        case CloseTask():
            closed = shop.TaskClosed(task_id=number, closed_by=by, closed_at=now)
            return [closed] if task.is_open else []
        case _:
            assert_never(command)


def _demand(task: Task, status: TaskStatus) -> None:
    if task.status != status:
        raise WrongTaskStatus(task.status, status)


def _completed(task: Task, command: CompleteTask) -> shop.TaskCompleted:
    minutes = command.actual_minutes
    if minutes is None:
        taken = command.now - (task.started_at or command.now)
        minutes = max(1, ceil(taken.total_seconds() / MINUTE_SECONDS))
    return shop.TaskCompleted(
        task_id=task.task_id,
        actual_minutes=minutes,
        notes=command.notes,
        result_photos=command.result_photos,
        completed_by=command.by,
        completed_at=command.now,
    )


def _checked(number: int, command: CheckQuality) -> shop.TaskApproved | shop.TaskRejected:
    by, now = command.by, command.now
    common: dict[str, Any] = {
        "task_id": number,
        "quality_score": command.quality_score,
        "notes": command.notes,
    }
    if command.is_approved:
        return shop.TaskApproved(**common, approved_by=by, approved_at=now)
    return shop.TaskRejected(**common, rejected_by=by, rejected_at=now)


TASK: Final = Decider(category="task", initial=Task(), decide=decide, evolve=evolve)


def step_to(
    task: Task, wanted: TaskStatus, florist: int | None, by: str, now: datetime
) -> Step | None:
    """The command that leads to a state and a florist; None if the task is there.

    Raises WrongTaskStatus, FloristMissing.
    """
    if florist is None or florist == task.florist:
        return _step_to(task, wanted, by, now)
    _demand(task, TaskStatus.PENDING)
    if wanted not in (TaskStatus.PENDING, TaskStatus.ASSIGNED):
        raise WrongTaskStatus(task.status)
    return AssignTask(florist=florist, by=by, now=now)


def _step_to(task: Task, wanted: TaskStatus, by: str, now: datetime) -> Step | None:
    match task.status, wanted:
        case before, after if before == after:
            return None
        case TaskStatus.PENDING, TaskStatus.ASSIGNED:
            raise FloristMissing
        case TaskStatus.ASSIGNED, TaskStatus.IN_PROGRESS:
            return StartTask(by=by, now=now)
        case TaskStatus.IN_PROGRESS, TaskStatus.QUALITY_CHECK:
            return CompleteTask(by=by, now=now, actual_minutes=task.present.actual_minutes)
        case TaskStatus.QUALITY_CHECK, TaskStatus.COMPLETED | TaskStatus.IN_PROGRESS:
            is_approved = wanted == TaskStatus.COMPLETED
            score = task.present.quality_score or GOOD_SCORE
            return CheckQuality(is_approved=is_approved, quality_score=score, by=by, now=now)
        case _, TaskStatus.CANCELLED:
            return CancelTask(by=by, now=now)
        case _:
            raise WrongTaskStatus(task.status)


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupy:
    """A task occupies a florist, who has no other if `must_be_idle`; without `busy` it is over."""

    florist: int
    task_id: int
    busy: bool
    now: datetime
    must_be_idle: bool = False


def florist_decide(tasks: frozenset[int], command: Occupy) -> list[ShopEvent]:
    """See `Decider`. Raises FloristBusy."""
    others = tasks - {command.task_id}
    if command.busy and command.must_be_idle and others:
        raise FloristBusy
    after = others | {command.task_id} if command.busy else others
    changed = shop.FloristTasksChanged(
        florist=command.florist, tasks=tuple(sorted(after)), changed_at=command.now
    )
    return [changed] if after != tasks else []


def florist_evolve(tasks: frozenset[int], event: ShopEvent) -> frozenset[int]:
    """The tasks that occupy the florist after an event."""
    return frozenset(event.tasks) if isinstance(event, shop.FloristTasksChanged) else tasks


FLORIST: Final[Decider[frozenset[int], Occupy, ShopEvent]] = Decider(
    category="florist", initial=frozenset(), decide=florist_decide, evolve=florist_evolve
)
"""A florist as an aggregate, by number: the tasks that are assigned or in progress."""


def florist_commands(
    before: Task, after: Task, now: datetime, *, must_be_idle: bool = False
) -> list[Occupy]:
    """What a change of a task means for its florist."""
    changes = {before.busy_florist: False} | {after.busy_florist: True}
    return [
        Occupy(
            florist=florist, task_id=after.task_id, busy=busy, now=now, must_be_idle=must_be_idle
        )
        for florist, busy in changes.items()
        if florist is not None and before.busy_florist != after.busy_florist
    ]
