"""The tasks that an order needs: its lines by what is made, with minutes, priority and deadline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.envelope import Sealed
from contracts.shop import (
    OrderCommentAdded,
    OrderCommentChanged,
    OrderCommentRemoved,
    OrderLine,
    ShopEvent,
)
from services.shop.production.domain.task import Priority, TaskType

WORDS: Final[Mapping[TaskType, tuple[str, ...]]] = {
    TaskType.COMPOSITION: ("композиц", "корзин"),
    TaskType.DECORATION: ("оформлен", "декор"),
}
"""Parts of the names of products; any other is a bouquet (spec shop §6)."""
MINUTES: Final = {TaskType.BOUQUET: 20, TaskType.COMPOSITION: 40, TaskType.DECORATION: 15}
"""The estimate for one line."""
LONGEST_MINUTES: Final = 480
URGENT_WITHIN: Final = timedelta(hours=2)
HIGH_WITHIN: Final = timedelta(hours=4)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTask:
    """A task for lines of an order."""

    task_type: TaskType
    lines: tuple[OrderLine, ...]
    minutes: int


def type_of(product_name: str) -> TaskType:
    """What is made, by the name of the product."""
    name = product_name.casefold()
    for task_type, words in WORDS.items():
        if any(word in name for word in words):
            return task_type
    return TaskType.BOUQUET


def plan(lines: Sequence[OrderLine]) -> list[PlannedTask]:
    """One task for each type among the lines; none without lines."""
    by_type = {
        task_type: tuple(line for line in lines if type_of(line.product_name) == task_type)
        for task_type in TaskType
    }
    return [
        PlannedTask(
            task_type=task_type,
            lines=own,
            minutes=min(LONGEST_MINUTES, MINUTES[task_type] * len(own)),
        )
        for task_type, own in by_type.items()
        if own
    ]


def priority_of(deadline: datetime | None, now: datetime) -> Priority:
    """The priority by the time that is left; without a deadline it is normal."""
    if deadline is None:
        return Priority.NORMAL
    left = deadline - now
    if left < URGENT_WITHIN:
        return Priority.URGENT
    return Priority.HIGH if left < HIGH_WITHIN else Priority.NORMAL


def first_comment(history: Iterable[ShopEvent]) -> Sealed | None:
    """The text of the first comment of an order that was not removed, as it is now."""
    texts: dict[int, Sealed] = {}
    for event in history:
        match event:
            case OrderCommentAdded() | OrderCommentChanged():
                texts[event.comment_id] = event.text
            case OrderCommentRemoved():
                texts.pop(event.comment_id, None)
            case _:
                pass
    return next(iter(texts.values()), None)
