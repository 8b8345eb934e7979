"""Tasks for tests: their commands and events with the usual values."""

from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import ShopEvent, TaskDetails, TaskItem
from services.shop.production.domain.decisions import (
    TASK,
    AssignTask,
    CheckQuality,
    CompleteTask,
    CreateTask,
    StartTask,
    TaskCommand,
)
from services.shop.production.domain.task import TaskStatus

NOON: Final = datetime(2026, 3, 7, 12, tzinfo=UTC)
ANNA: Final = 3
BY: Final = "00000000-0000-0000-0000-000000000001"
DETAILS: Final = TaskDetails(priority="normal", estimated_minutes=20, instructions=Sealed("sealed"))
ITEMS: Final = (
    TaskItem(item_id=71, order_item_id=11, quantity=2),
    TaskItem(item_id=72, order_item_id=12, quantity=1),
)


def create(**different: Any) -> CreateTask:
    """The command."""
    given: dict[str, Any] = {
        "task_id": 51,
        "order_id": 1,
        "task_type": "bouquet",
        "details": DETAILS,
        "items": ITEMS,
        "by": BY,
        "now": NOON,
    }
    return CreateTask(**{**given, **different})


def assign(florist: int = ANNA) -> AssignTask:
    """The command."""
    return AssignTask(florist=florist, by=BY, now=NOON)


def start(now: datetime = NOON) -> StartTask:
    """The command."""
    return StartTask(by=BY, now=now)


def complete(now: datetime = NOON, actual_minutes: int | None = None) -> CompleteTask:
    """The command."""
    return CompleteTask(by=BY, now=now, actual_minutes=actual_minutes)


def check(*, is_approved: bool, score: int = 4) -> CheckQuality:
    """The command."""
    return CheckQuality(
        is_approved=is_approved, quality_score=score, notes=Sealed("note"), by=BY, now=NOON
    )


def history(*commands: TaskCommand) -> list[ShopEvent]:
    """The events of commands, one after the other."""

    def carried_out(events: list[ShopEvent], command: TaskCommand) -> list[ShopEvent]:
        return [*events, *TASK.decide(TASK.state_after(events), command)]

    return reduce(carried_out, commands, [])


def at(status: TaskStatus) -> list[ShopEvent]:
    """The history of a task that has reached a state by the shortest way; not cancelled."""
    steps: list[TaskCommand] = [assign(), start(), complete(), check(is_approved=True)]
    way = [TaskStatus.PENDING, TaskStatus.ASSIGNED, TaskStatus.IN_PROGRESS]
    way += [TaskStatus.QUALITY_CHECK, TaskStatus.COMPLETED]
    return history(create(), *steps[: way.index(status)])
