"""The categories of flowers of a shop, by which supplies are priced (spec shop §4.5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias, assert_never

from contracts.shop import FlowerCategorySet, ShopEvent
from libs.errors import BadRequest, NotFound
from libs.eventsourcing.decider import Decider
from libs.names import comparable
from services.shop.stock.domain.commands import Authored

Categories: TypeAlias = Mapping[int, FlowerCategorySet]
"""The categories of a shop by id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AddCategory(Authored):
    """Add a category. Raises CategoryNameTaken."""

    category_id: int
    name: str
    markup_percent: Decimal
    keywords: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeCategory(Authored):
    """Replace fields of a category, named as those of the event.

    Raises CategoryUnknown, CategoryNameTaken.
    """

    category_id: int
    changes: Mapping[str, Any]


class CategoryUnknown(NotFound):
    """Категория не найдена"""


class CategoryNameTaken(BadRequest):
    """Категория с таким названием уже есть"""


def decide(categories: Categories, command: AddCategory | ChangeCategory) -> list[ShopEvent]:
    """See `Decider`."""
    match command:
        case AddCategory(category_id=category_id):
            if category_id in categories:
                return []
            changed = FlowerCategorySet(
                category_id=category_id,
                name=command.name,
                markup_percent=command.markup_percent,
                keywords=command.keywords,
                created_at=command.now,
                changed_by=command.by,
                changed_at=command.now,
            )
        case ChangeCategory(category_id=category_id):
            if (before := categories.get(category_id)) is None:
                raise CategoryUnknown
            changed = replace(before, **command.changes)
            if changed == before:
                return []
            changed = replace(changed, changed_by=command.by, changed_at=command.now)
        case _:
            assert_never(command)
    others = (one for one in categories.values() if one.category_id != category_id)
    if _name(changed) in map(_name, others):
        raise CategoryNameTaken
    return [changed]


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


def _name(category: FlowerCategorySet) -> str:
    return comparable(category.name).casefold()


CATEGORIES: Final[Decider[Categories, AddCategory | ChangeCategory, ShopEvent]] = Decider(
    category="flower", initial={}, decide=decide, evolve=evolve
)
ID: Final = "categories"
"""The id of the only aggregate of a shop: its stream is `flower-categories`."""
