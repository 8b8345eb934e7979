"""A task: its states, its state, and what its events make of it (spec shop §6)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from contracts import shop
from contracts.shop import ShopEvent, TaskDetails, TaskItem
from libs.errors import NotFound

MINUTE_SECONDS: Final = 60


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


class TaskItemUnknown(TaskUnknown):
    """Позиция задачи не найдена"""


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

    def item(self, item_id: int) -> TaskItem:
        """A line. Raises TaskItemUnknown."""
        for one in self.items:
            if one.item_id == item_id:
                return one
        raise TaskItemUnknown

    def is_overdue(self, now: datetime) -> bool:
        """Whether it should be done by now."""
        deadline = self.present.deadline
        return self.is_open and deadline is not None and deadline < now

    def minutes_spent(self, now: datetime) -> int:
        """The minutes that the task took, or has taken until now."""
        if self.present.actual_minutes is not None:
            return self.present.actual_minutes
        end = self.completed_at or now
        spent = end - (self.started_at or end)
        return max(0, int(spent.total_seconds()) // MINUTE_SECONDS)


def evolve(task: Task, event: ShopEvent) -> Task:
    """The task after an event."""
    match event:
        case shop.TaskCreated():
            return Task(
                task_id=event.task_id,
                order_id=event.order_id,
                task_type=event.task_type,
                details=event.details,
                items=event.items,
                created_at=event.created_at,
            )
        case shop.TaskEdited(details=details):
            return replace(task, details=details)
        case shop.TaskItemChanged(item=item):
            items = tuple(item if one.item_id == item.item_id else one for one in task.items)
            return replace(task, items=items)
        case shop.TaskAssigned(florist=florist, assigned_at=at):
            return replace(task, status=TaskStatus.ASSIGNED, florist=florist, assigned_at=at)
        case shop.TaskStarted(notes=notes, started_at=at):
            started = replace(task, status=TaskStatus.IN_PROGRESS, started_at=at)
            return _with_details(started, florist_notes=notes)
        case _:
            return _finished(task, event)


def _finished(task: Task, event: ShopEvent) -> Task:
    match event:
        case shop.TaskCompleted(completed_at=at):
            done = replace(task, status=TaskStatus.QUALITY_CHECK, completed_at=at)
            return _with_details(
                replace(done, items=_made(task, at)),
                actual_minutes=event.actual_minutes,
                florist_notes=event.notes,
                result_photos=event.result_photos or None,
            )
        case shop.TaskApproved():
            items = tuple(replace(one, quality_approved=True) for one in task.items)
            approved = replace(task, status=TaskStatus.COMPLETED, items=items)
            return _with_details(
                approved, quality_score=event.quality_score, quality_notes=event.notes
            )
        case shop.TaskRejected():
            return _rejected(task, event)
        case shop.TaskClosed(closed_at=at):
            closed = replace(task, status=TaskStatus.COMPLETED, items=_made(task, at))
            return replace(closed, completed_at=task.completed_at or at)
        case shop.TaskCancelled():
            return replace(task, status=TaskStatus.CANCELLED)
        case _:
            return task


def _rejected(task: Task, event: shop.TaskRejected) -> Task:
    """The work is done again, all of it: lines are open, and time is counted anew."""
    again: dict[str, Any] = {"is_completed": False, "completed_at": None, "quality_approved": False}
    rejected = replace(
        task,
        status=TaskStatus.IN_PROGRESS,
        items=tuple(replace(one, **again) for one in task.items),
        started_at=event.rejected_at,
        completed_at=None,
        details=replace(task.present, actual_minutes=None),
    )
    return _with_details(rejected, quality_score=event.quality_score, quality_notes=event.notes)


def _made(task: Task, at: datetime) -> tuple[TaskItem, ...]:
    return tuple(
        one if one.is_completed else replace(one, is_completed=True, completed_at=at)
        for one in task.items
    )


def _with_details(task: Task, **given: Any) -> Task:
    """The task with the given details; those that are None stay."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(task, details=replace(task.present, **changes))
