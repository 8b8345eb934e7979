"""Production: the tasks of florists, and which florist is at work on which of them.

Texts of a task (instructions, notes) may name persons of its order: they are sealed with the key of
the subject `order-<order_id>`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from contracts.envelope import Sealed

TASKS: Final = "shop.task"
FLORISTS: Final = "shop.florist"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskItem:
    """A line of the order that the task makes, `quantity` pieces of it.

    `quality_notes` are sealed.
    """

    item_id: int
    order_item_id: int
    quantity: int
    is_completed: bool = False
    completed_at: datetime | None = None
    quality_approved: bool | None = None
    quality_notes: Sealed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDetails:
    """What staff may edit in a task. Photos are paths or addresses of images.

    `priority` is `urgent`, `high`, `normal` or `low`; `quality_score` is 1 to 5.
    """

    priority: str
    estimated_minutes: int
    deadline: datetime | None = None
    instructions: Sealed | None = None
    florist_notes: Sealed | None = None
    quality_notes: Sealed | None = None
    quality_score: int | None = None
    actual_minutes: int | None = None
    work_photos: tuple[str, ...] = ()
    result_photos: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCreated:
    """A task is to be done. `task_type` is `bouquet`, `composition` or `decoration`."""

    task_id: int
    order_id: int
    task_type: str
    details: TaskDetails
    items: tuple[TaskItem, ...]
    created_by: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEdited:
    """The details of a task were replaced."""

    task_id: int
    details: TaskDetails
    edited_by: str
    edited_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskItemChanged:
    """A line of a task was replaced."""

    task_id: int
    item: TaskItem
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAssigned:
    """A florist got the task. `florist` is the member's number."""

    task_id: int
    florist: int
    assigned_by: str
    assigned_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStarted:
    """The florist began. `notes` are sealed."""

    task_id: int
    notes: Sealed | None
    started_by: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCompleted:
    """The florist is done with all lines, and the quality is to be checked. `notes` are sealed."""

    task_id: int
    actual_minutes: int
    notes: Sealed | None
    result_photos: tuple[str, ...]
    completed_by: str
    completed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskApproved:
    """The quality is good: the task is over. `notes` are sealed."""

    task_id: int
    quality_score: int
    notes: Sealed | None
    approved_by: str
    approved_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRejected:
    """The quality is not good: the florist does all lines again. `notes` are sealed."""

    task_id: int
    quality_score: int
    notes: Sealed | None
    rejected_by: str
    rejected_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskClosed:
    """The order was assembled, so the task is over without a check of its own."""

    task_id: int
    closed_by: str
    closed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCancelled:
    """The task is not wanted any more."""

    task_id: int
    cancelled_by: str
    cancelled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class FloristTasksChanged:
    """The assigned and started tasks of a florist are these now, in one append with the task's."""

    florist: int
    tasks: tuple[int, ...]
    changed_at: datetime


TaskEvent: TypeAlias = (
    TaskCreated
    | TaskEdited
    | TaskItemChanged
    | TaskAssigned
    | TaskStarted
    | TaskCompleted
    | TaskApproved
    | TaskRejected
    | TaskClosed
    | TaskCancelled
)
EVENTS: Final = (
    TaskCreated,
    TaskEdited,
    TaskItemChanged,
    TaskAssigned,
    TaskStarted,
    TaskCompleted,
    TaskApproved,
    TaskRejected,
    TaskClosed,
    TaskCancelled,
    FloristTasksChanged,
)
