"""A task: its states, its state, and what its events make of it (spec shop §6)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

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
from libs.errors import NotFound


class TaskStatus(StrEnum):
    """The wire values."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    QUALITY_CHECK = "quality_check"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """The wire values, in the order of the queue."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class TaskType(StrEnum):
    """What is made."""

    BOUQUET = "bouquet"
    COMPOSITION = "composition"
    DECORATION = "decoration"


ACTIVE: Final = frozenset({TaskStatus.ASSIGNED, TaskStatus.IN_PROGRESS})
"""The states in which a task occupies its florist."""
OVER: Final = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELLED})


class TaskUnknown(NotFound):
    """Задача не найдена"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """The state of a task; without `details` it does not exist."""

    task_id: int = 0
    order_id: int = 0
    task_type: str = TaskType.BOUQUET
    status: TaskStatus = TaskStatus.PENDING
    florist: int | None = None
    details: TaskDetails | None = None
    items: tuple[TaskItem, ...] = ()
    created_at: datetime | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def present(self) -> TaskDetails:
        """The details of a task that exists. Raises TaskUnknown."""
        if self.details is None:
            raise TaskUnknown
        return self.details

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self.status not in OVER

    @property
    def busy_florist(self) -> int | None:
        """The florist whom the task occupies."""
        return self.florist if self.status in ACTIVE else None


def evolve(task: Task, event: ShopEvent) -> Task:
    """The task after an event."""
    match event:
        case TaskCreated():
            return Task(
                task_id=event.task_id,
                order_id=event.order_id,
                task_type=event.task_type,
                details=event.details,
                items=event.items,
                created_at=event.created_at,
            )
        case TaskEdited():
            return replace(task, details=event.details)
        case TaskItemChanged(item=item):
            items = tuple(item if one.item_id == item.item_id else one for one in task.items)
            return replace(task, items=items)
        case _:
            return _moved(task, event)


def _moved(task: Task, event: ShopEvent) -> Task:
    match event:
        case TaskAssigned(florist=florist, assigned_at=at):
            return replace(task, status=TaskStatus.ASSIGNED, florist=florist, assigned_at=at)
        case TaskStarted(started_at=at):
            started = replace(task, status=TaskStatus.IN_PROGRESS, started_at=at)
            return _with_details(started, florist_notes=event.notes)
        case TaskCompleted():
            return _completed(task, event)
        case TaskApproved() | TaskRejected():
            return _checked(task, event)
        case TaskClosed(closed_at=at):
            closed = replace(
                task, status=TaskStatus.COMPLETED, completed_at=task.completed_at or at
            )
            return replace(closed, items=_all_made(task, at))
        case TaskCancelled():
            return replace(task, status=TaskStatus.CANCELLED)
        case _:
            return task


def _completed(task: Task, event: TaskCompleted) -> Task:
    at = event.completed_at
    done = replace(
        task, status=TaskStatus.QUALITY_CHECK, completed_at=at, items=_all_made(task, at)
    )
    return _with_details(
        done,
        actual_minutes=event.actual_minutes,
        florist_notes=event.notes,
        result_photos=event.result_photos or None,
    )


def _checked(task: Task, event: TaskApproved | TaskRejected) -> Task:
    """Rejected work is done again, all of it: lines are open, and time is counted anew."""
    if isinstance(event, TaskApproved):
        items = tuple(replace(one, quality_approved=True) for one in task.items)
        checked = replace(task, status=TaskStatus.COMPLETED, items=items)
    else:
        items = tuple(
            replace(one, is_completed=False, completed_at=None, quality_approved=False)
            for one in task.items
        )
        again = replace(task.present, actual_minutes=None)
        checked = replace(task, status=TaskStatus.IN_PROGRESS, items=items, details=again)
        checked = replace(checked, started_at=event.rejected_at, completed_at=None)
    return _with_details(checked, quality_score=event.quality_score, quality_notes=event.notes)


def _all_made(task: Task, at: datetime) -> tuple[TaskItem, ...]:
    return tuple(
        one if one.is_completed else replace(one, is_completed=True, completed_at=at)
        for one in task.items
    )


def _with_details(task: Task, **given: Sealed | int | tuple[str, ...] | None) -> Task:
    """The task with the given details; those that are None stay."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(task, details=replace(task.present, **changes))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class FloristTasks:
    """The tasks that occupy a florist."""

    tasks: frozenset[int] = frozenset()


def florist_evolve(florist: FloristTasks, event: ShopEvent) -> FloristTasks:
    """The florist after an event."""
    return (
        FloristTasks(frozenset(event.tasks)) if isinstance(event, FloristTasksChanged) else florist
    )
