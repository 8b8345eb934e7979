"""The tasks that an order needs: its lines by what is made, with minutes, priority and deadline."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from contracts import shop
from contracts.envelope import Sealed
from contracts.shop import OrderLine, ShopEvent
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


def type_of(product_name: str) -> TaskType:
    """What is made, by the name of the product."""
    name = product_name.casefold()
    for task_type, words in WORDS.items():
        if any(word in name for word in words):
            return task_type
    return TaskType.BOUQUET


def plan(lines: Sequence[OrderLine]) -> Mapping[TaskType, Sequence[OrderLine]]:
    """The lines of each task: one for each type among them."""
    types = {line.item_id: type_of(line.product_name) for line in lines}
    return {
        task_type: [line for line in lines if types[line.item_id] == task_type]
        for task_type in TaskType
        if task_type in types.values()
    }


def minutes_of(task_type: TaskType, lines: Sequence[OrderLine]) -> int:
    """The estimate for a task."""
    return min(LONGEST_MINUTES, MINUTES[task_type] * len(lines))


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
            case shop.OrderCommentAdded() | shop.OrderCommentChanged():
                texts[event.comment_id] = event.text
            case shop.OrderCommentRemoved():
                texts.pop(event.comment_id, None)
            case _:
                pass
    return next(iter(texts.values()), None)
