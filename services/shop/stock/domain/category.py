"""The categories of flowers of a shop, by which supplies are priced (spec shop §4.5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias

from contracts.shop import FlowerCategorySet, ShopEvent
from libs.errors import BadRequest, NotFound
from libs.eventsourcing.decider import Decider
from libs.names import comparable
from services.shop.stock.domain.commands import Authored

Categories: TypeAlias = Mapping[int, FlowerCategorySet]
"""The categories of a shop by id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCategory(Authored):
    """Replace fields of a category, named as those of the event; with `is_new` it is added.

    Raises CategoryUnknown, CategoryNameTaken.
    """

    category_id: int
    changes: Mapping[str, Any]
    is_new: bool = False


class CategoryUnknown(NotFound):
    """Категория не найдена"""


class CategoryNameTaken(BadRequest):
    """Категория с таким названием уже есть"""


def decide(categories: Categories, command: SetCategory) -> list[ShopEvent]:
    """See `Decider`."""
    before = categories.get(command.category_id)
    if before is None:
        if not command.is_new:
            raise CategoryUnknown
        before = FlowerCategorySet(
            category_id=command.category_id,
            name="",
            markup_percent=Decimal(0),
            keywords=None,
            created_at=command.now,
            changed_by=command.by,
            changed_at=command.now,
        )
    changed = replace(before, **command.changes)
    if changed == before:
        return []
    others = (one for one in categories.values() if one.category_id != command.category_id)
    if _key(changed.name) in (_key(one.name) for one in others):
        raise CategoryNameTaken
    return [replace(changed, changed_by=command.by, changed_at=command.now)]


def evolve(categories: Categories, event: ShopEvent) -> Categories:
    """See `Decider`."""
    if not isinstance(event, FlowerCategorySet):
        return categories
    return {**categories, event.category_id: event}


def detect(flower_name: str, categories: Iterable[FlowerCategorySet]) -> FlowerCategorySet | None:
    """The category with the lowest id one of whose keywords is a part of the name."""
    name = flower_name.casefold()
    for category in sorted(categories, key=lambda one: one.category_id):
        keywords = (word.strip().casefold() for word in (category.keywords or "").split(","))
        if any(word and word in name for word in keywords):
            return category
    return None


def _key(name: str) -> str:
    return comparable(name).casefold()


CATEGORIES: Final[Decider[Categories, SetCategory, ShopEvent]] = Decider(
    category="flower", initial={}, decide=decide, evolve=evolve
)
ID: Final = "categories"
"""The id of the only aggregate of a shop: its stream is `flower-categories`."""
