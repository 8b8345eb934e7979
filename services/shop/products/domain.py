"""A product: its details, images, ingredients and components, and what changes them.

Its parts are numbered within the product; a number is never used again. Prices are whole tenge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from contracts.shop import (
    Component,
    ComponentsChanged,
    Ingredient,
    IngredientsChanged,
    ProductAdded,
    ProductChanged,
    ProductDetails,
    ProductImage,
    ProductImagesChanged,
    ProductRemoved,
    ShopEvent,
)
from libs.errors import BadRequest, NotFound
from libs.eventsourcing.decider import Decider

CATEGORIES: Final = ("bouquet", "composition", "potted", "other")
COMPONENT_KINDS: Final = ("flower", "material", "service")


class ProductUnknown(NotFound):
    """Товар не найден"""


class IngredientUnknown(NotFound):
    """Ингредиент не найден"""


class ComponentUnknown(NotFound):
    """Компонент не найден"""


class IngredientExists(BadRequest):
    """Этот ингредиент уже добавлен к товару"""


class ProductInactive(BadRequest):
    """Товар снят с продажи"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A product; without `details` there is none. `last_id` is the highest number of a part."""

    product_id: int = 0
    details: ProductDetails | None = None
    images: tuple[ProductImage, ...] = ()
    images_at: datetime | None = None
    ingredients: tuple[Ingredient, ...] = ()
    components: tuple[Component, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Command:
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddProduct(_Command):
    """Add a product under a new number, with the numbered components of its calculation."""

    product_id: int
    details: ProductDetails
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeProduct(_Command):
    """Replace the fields of `changes`, which are named as those of `ProductDetails`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToggleActive(_Command):
    """Take the product off sale, or put it back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetImages(_Command):
    """Replace all images; the first becomes the primary one."""

    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AddIngredient(_Command):
    """Let one piece of the product take `quantity` of a warehouse item."""

    warehouse_item_id: int
    quantity: int
    notes: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeIngredient(_Command):
    """Replace the fields of `changes`, which are named as those of `Ingredient`."""

    ingredient_id: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveIngredient(_Command):
    """Remove an ingredient."""

    ingredient_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AddComponent(_Command):
    """Add a component with the values of `content`, which are named as those of `Component`."""

    content: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeComponent(_Command):
    """Replace the fields of `changes`, which are named as those of `Component`."""

    component_id: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveComponent(_Command):
    """Remove a component."""

    component_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveProduct(_Command):
    """Remove the product from the catalogue."""


OfIngredients: TypeAlias = AddIngredient | ChangeIngredient | RemoveIngredient
OfComponents: TypeAlias = AddComponent | ChangeComponent | RemoveComponent
OfDetails: TypeAlias = ChangeProduct | ToggleActive
Change: TypeAlias = OfDetails | SetImages | OfIngredients | OfComponents | RemoveProduct
Command: TypeAlias = AddProduct | Change


def decide(product: Product, command: Command) -> list[ShopEvent]:
    """The events of a command, none if it changes nothing.

    Raises ProductUnknown, IngredientUnknown, ComponentUnknown, IngredientExists.
    """
    if isinstance(command, AddProduct):
        return _add(product, command)
    if product.details is None:
        raise ProductUnknown
    match command:
        case ChangeProduct() | ToggleActive():
            return _change_details(product.product_id, product.details, command)
        case SetImages():
            return _set_images(product, command)
        case AddIngredient() | ChangeIngredient() | RemoveIngredient():
            return _with_ingredients(product, _ingredients(product, command), command)
        case AddComponent() | ChangeComponent() | RemoveComponent():
            return _with_components(product, _components(product, command), command)
        case RemoveProduct(by=by, now=now):
            return [ProductRemoved(product_id=product.product_id, removed_by=by, removed_at=now)]
        case _:
            assert_never(command)


def evolve(product: Product, event: ShopEvent) -> Product:
    """The product after an event."""
    match event:
        case ProductAdded():
            return Product(
                product_id=event.product_id,
                details=event.details,
                created_at=event.added_at,
                updated_at=event.added_at,
            )
        case ProductChanged():
            return replace(product, details=event.details, updated_at=event.changed_at)
        case ProductImagesChanged(images=images, changed_at=at):
            last_id = max([product.last_id, *(image.image_id for image in images)])
            return replace(product, images=images, images_at=at, last_id=last_id, updated_at=at)
        case IngredientsChanged(ingredients=ingredients, changed_at=at):
            last_id = max([product.last_id, *(one.ingredient_id for one in ingredients)])
            return replace(product, ingredients=ingredients, last_id=last_id, updated_at=at)
        case ComponentsChanged(components=components, changed_at=at):
            last_id = max([product.last_id, *(one.component_id for one in components)])
            return replace(product, components=components, last_id=last_id, updated_at=at)
        case ProductRemoved():
            return Product()
        case _:
            return product


PRODUCT: Final = Decider(category="product", initial=Product(), decide=decide, evolve=evolve)


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedLine:
    """A line of an order as the shop prices it.

    `needs` are the warehouse items that the whole line takes, each with its quantity; without any
    the product is not tracked in stock.
    """

    product_id: int
    quantity: int
    name: str
    category: str
    unit_price: int
    needs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sales:
    """How many lines of orders were over a product, and their sum in tenge."""

    orders: int = 0
    revenue: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StockedItem:
    """What a product's page shows of a warehouse item: `price` in tenge, `available` pieces."""

    variety: str
    height_cm: int
    supplier: str
    farm: str
    available: int
    price: int


def priced_line(product: Product, quantity: int) -> PricedLine:
    """A line over `quantity` pieces of a product. Raises ProductUnknown, ProductInactive."""
    details = product.details
    if details is None:
        raise ProductUnknown
    if not details.is_active:
        raise ProductInactive(f"Товар «{details.name}» снят с продажи")
    return PricedLine(
        product_id=product.product_id,
        quantity=quantity,
        name=details.name,
        category=details.category,
        unit_price=current_price(details),
        needs=tuple(
            (one.warehouse_item_id, one.quantity * quantity) for one in product.ingredients
        ),
    )


def current_price(details: ProductDetails) -> int:
    """The price at which a product is sold now."""
    return details.sale_price or details.retail_price


def discount_percentage(details: ProductDetails) -> int:
    """How much less than the usual price that is, in whole per cent rounded down; never below 0."""
    saved = details.retail_price - current_price(details)
    return saved * 100 // details.retail_price if saved > 0 else 0


def _add(product: Product, command: AddProduct) -> list[ShopEvent]:
    if product.details is not None:
        return []
    added = ProductAdded(
        product_id=command.product_id,
        details=command.details,
        added_by=command.by,
        added_at=command.now,
    )
    return [added, *_with_components(evolve(product, added), command.components, command)]


def _change_details(number: int, known: ProductDetails, command: OfDetails) -> list[ShopEvent]:
    details = _details(known, command)
    if details == known:
        return []
    return [
        ProductChanged(
            product_id=number, details=details, changed_by=command.by, changed_at=command.now
        )
    ]


def _set_images(product: Product, command: SetImages) -> list[ShopEvent]:
    if command.urls == tuple(image.url for image in product.images):
        return []
    images = tuple(
        ProductImage(image_id=number, url=url)
        for number, url in enumerate(command.urls, product.last_id + 1)
    )
    return [
        ProductImagesChanged(
            product_id=product.product_id,
            images=images,
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _with_ingredients(
    product: Product, ingredients: tuple[Ingredient, ...], command: _Command
) -> list[ShopEvent]:
    if ingredients == product.ingredients:
        return []
    return [
        IngredientsChanged(
            product_id=product.product_id,
            ingredients=ingredients,
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _with_components(
    product: Product, components: tuple[Component, ...], command: _Command
) -> list[ShopEvent]:
    if components == product.components:
        return []
    return [
        ComponentsChanged(
            product_id=product.product_id,
            components=components,
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _details(details: ProductDetails, command: OfDetails) -> ProductDetails:
    match command:
        case ChangeProduct(changes=changes):
            return replace(details, **changes)
        case ToggleActive():
            return replace(details, is_active=not details.is_active)
        case _:
            assert_never(command)


def _ingredients(product: Product, command: OfIngredients) -> tuple[Ingredient, ...]:
    known = product.ingredients
    match command:
        case AddIngredient(warehouse_item_id=item):
            if any(one.warehouse_item_id == item for one in known):
                raise IngredientExists
            added = Ingredient(
                ingredient_id=product.last_id + 1,
                warehouse_item_id=item,
                quantity=command.quantity,
                notes=command.notes,
            )
            return (*known, added)
        case ChangeIngredient(ingredient_id=number, changes=changes):
            index = _index([one.ingredient_id for one in known], number, IngredientUnknown)
            return (*known[:index], replace(known[index], **changes), *known[index + 1 :])
        case RemoveIngredient(ingredient_id=number):
            index = _index([one.ingredient_id for one in known], number, IngredientUnknown)
            return known[:index] + known[index + 1 :]
        case _:
            assert_never(command)


def _components(product: Product, command: OfComponents) -> tuple[Component, ...]:
    known = product.components
    match command:
        case AddComponent(content=content):
            return (*known, Component(component_id=product.last_id + 1, **content))
        case ChangeComponent(component_id=number, changes=changes):
            index = _index([one.component_id for one in known], number, ComponentUnknown)
            return (*known[:index], replace(known[index], **changes), *known[index + 1 :])
        case RemoveComponent(component_id=number):
            index = _index([one.component_id for one in known], number, ComponentUnknown)
            return known[:index] + known[index + 1 :]
        case _:
            assert_never(command)


def _index(numbers: Sequence[int], number: int, unknown: type[NotFound]) -> int:
    if number not in numbers:
        raise unknown
    return numbers.index(number)
