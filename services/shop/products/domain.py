"""A product: its details, images, ingredients and components, and what changes them.

Its parts are numbered within the product; a number is never used again. Prices are whole tenge.
"""

from collections.abc import Iterator, Mapping, Sequence
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

STARTERS: Final = (
    ProductDetails(
        name="Букет роз «Классика»",
        category="bouquet",
        description="Классический букет из 15 красных роз",
        cost_price=10_000,
        retail_price=25_000,
        sale_price=22_000,
        is_popular=True,
    ),
    ProductDetails(
        name="Букет тюльпанов «Весна»",
        category="bouquet",
        description="Нежный букет из 25 тюльпанов",
        cost_price=8_000,
        retail_price=18_000,
        sale_price=16_000,
        is_new=True,
    ),
    ProductDetails(
        name="Композиция «Праздничная»",
        category="composition",
        description="Праздничная композиция в корзине",
        cost_price=15_000,
        retail_price=35_000,
        sale_price=32_000,
        is_popular=True,
    ),
)
"""The products with which a new shop begins (spec shop §2.2)."""


class ProductUnknown(NotFound):
    """Товар не найден"""


class IngredientUnknown(NotFound):
    """Ингредиент не найден"""


class ComponentUnknown(NotFound):
    """Компонент не найден"""


class WarehouseItemUnknown(NotFound):
    """Позиция склада не найдена"""


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
class AddProduct:
    """Add a product under a new number, with the components of its calculation."""

    product_id: int
    details: ProductDetails
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeProduct:
    """Replace the fields of `changes`, which are named as those of `ProductDetails`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Set the usual price; a sale that is not cheaper than that ends."""

    price: int


@dataclass(frozen=True, slots=True)
class ToggleActive:
    """Take the product off sale, or put it back."""


@dataclass(frozen=True, slots=True)
class SetImages:
    """Replace all images; the first becomes the primary one."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddIngredient:
    """Add an ingredient with the values of `content`, which are named as those of `Ingredient`."""

    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeIngredient:
    """Replace the fields of `changes`, which are named as those of `Ingredient`."""

    number: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RemoveIngredient:
    """Remove an ingredient."""

    number: int


@dataclass(frozen=True, slots=True)
class AddComponent:
    """Add a component with the values of `content`, which are named as those of `Component`."""

    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeComponent:
    """Replace the fields of `changes`, which are named as those of `Component`."""

    number: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RemoveComponent:
    """Remove a component."""

    number: int


@dataclass(frozen=True, slots=True)
class RemoveProduct:
    """Remove the product from the catalogue."""


OfIngredients: TypeAlias = AddIngredient | ChangeIngredient | RemoveIngredient
OfComponents: TypeAlias = AddComponent | ChangeComponent | RemoveComponent
OfDetails: TypeAlias = ChangeProduct | SetPrice | ToggleActive
Change: TypeAlias = OfDetails | SetImages | OfIngredients | OfComponents | RemoveProduct


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A change of a product, its author and time."""

    change: AddProduct | Change
    by: str
    now: datetime

    def changed(self, product_id: int) -> dict[str, Any]:
        """The fields that the events of a change share."""
        return {"product_id": product_id, "changed_by": self.by, "changed_at": self.now}


def decide(product: Product, command: Command) -> list[ShopEvent]:
    """The events of a command, none if it changes nothing.

    Raises ProductUnknown, IngredientUnknown, ComponentUnknown, IngredientExists.
    """
    change = command.change
    if isinstance(change, AddProduct):
        return _add(product, change, command)
    if product.details is None:
        raise ProductUnknown
    changed = command.changed(product.product_id)
    match change:
        case ChangeProduct() | SetPrice() | ToggleActive():
            details = _details(product.details, change)
            same = details == product.details
            return [] if same else [ProductChanged(details=details, **changed)]
        case SetImages(urls=urls):
            same = urls == tuple(image.url for image in product.images)
            images = tuple(_images(product, urls))
            return [] if same else [ProductImagesChanged(images=images, **changed)]
        case AddIngredient() | ChangeIngredient() | RemoveIngredient():
            ingredients = _ingredients(product, change)
            same = ingredients == product.ingredients
            return [] if same else [IngredientsChanged(ingredients=ingredients, **changed)]
        case AddComponent() | ChangeComponent() | RemoveComponent():
            components = _components(product, change)
            same = components == product.components
            return [] if same else [ComponentsChanged(components=components, **changed)]
        case RemoveProduct():
            removed = ProductRemoved(
                product_id=product.product_id, removed_by=command.by, removed_at=command.now
            )
            return [removed]
        case _:
            assert_never(change)


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
    """What a product's page shows of a warehouse item: `price` in tenge, `available_qty` pieces."""

    variety: str
    height_cm: int
    supplier: str
    farm: str
    available_qty: int
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


def _add(product: Product, change: AddProduct, command: Command) -> list[ShopEvent]:
    number, components = change.product_id, change.components
    if product.details is not None:
        return []
    added = ProductAdded(
        product_id=number, details=change.details, added_by=command.by, added_at=command.now
    )
    if not components:
        return [added]
    return [added, ComponentsChanged(components=components, **command.changed(number))]


def _details(details: ProductDetails, change: OfDetails) -> ProductDetails:
    match change:
        case ChangeProduct(changes=changes):
            return replace(details, **changes)
        case SetPrice(price=price):
            on_sale = details.sale_price is not None and details.sale_price < price
            sale_price = details.sale_price if on_sale else None
            return replace(details, retail_price=price, sale_price=sale_price)
        case ToggleActive():
            return replace(details, is_active=not details.is_active)
        case _:
            assert_never(change)


def _images(product: Product, urls: Sequence[str]) -> Iterator[ProductImage]:
    for number, url in enumerate(urls, product.last_id + 1):
        yield ProductImage(image_id=number, url=url)


def _ingredients(product: Product, change: OfIngredients) -> tuple[Ingredient, ...]:
    known = product.ingredients
    if isinstance(change, AddIngredient):
        added = Ingredient(ingredient_id=product.last_id + 1, **change.content)
        if added.warehouse_item_id in {one.warehouse_item_id for one in known}:
            raise IngredientExists
        return (*known, added)
    at = _index([one.ingredient_id for one in known], change.number, IngredientUnknown)
    if isinstance(change, RemoveIngredient):
        return known[:at] + known[at + 1 :]
    return (*known[:at], replace(known[at], **change.changes), *known[at + 1 :])


def _components(product: Product, change: OfComponents) -> tuple[Component, ...]:
    known = product.components
    if isinstance(change, AddComponent):
        return (*known, Component(component_id=product.last_id + 1, **change.content))
    at = _index([one.component_id for one in known], change.number, ComponentUnknown)
    if isinstance(change, RemoveComponent):
        return known[:at] + known[at + 1 :]
    return (*known[:at], replace(known[at], **change.changes), *known[at + 1 :])


def _index(numbers: Sequence[int], number: int, unknown: type[NotFound]) -> int:
    if number not in numbers:
        raise unknown
    return numbers.index(number)
