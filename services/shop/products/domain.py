"""A product: its details, images, ingredients and components, and what changes them.

Images and parts are numbered within the product; a number is never used again. Prices are whole
tenge.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from contracts.shop import (
    Component,
    ComponentsChanged,
    Ingredient,
    IngredientsChanged,
    PriceId,
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


class PartUnknown(NotFound):
    """Такой части у товара нет"""


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

    @property
    def present(self) -> ProductDetails:
        """The details of a product that exists. Raises ProductUnknown."""
        if self.details is None:
            raise ProductUnknown
        return self.details

    @property
    def article(self) -> int | None:
        """Its code on scales and kiosks."""
        return self.details.article if self.details else None


@dataclass(frozen=True, slots=True)
class Parts:
    """A kind of parts: the field of `Product`, their class, and the name of its id."""

    field: str
    type: type[Any]
    id: str


INGREDIENTS: Final = Parts("ingredients", Ingredient, "ingredient_id")
COMPONENTS: Final = Parts("components", Component, "component_id")


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
class AddPart:
    """Add a part with the values of `content`, which are named as the fields of its class."""

    kind: Parts
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangePart:
    """Replace the fields of `changes`, which are named as those of the part's class."""

    kind: Parts
    number: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RemovePart:
    """Remove a part."""

    kind: Parts
    number: int


@dataclass(frozen=True, slots=True)
class RemoveProduct:
    """Remove the product from the catalogue."""


OfParts: TypeAlias = AddPart | ChangePart | RemovePart
Edit: TypeAlias = ChangeProduct | SetPrice | ToggleActive | SetImages | OfParts
Change: TypeAlias = AddProduct | Edit | RemoveProduct


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A change of a product, its author and time.

    Another price is announced with `price_id`, the id of a new event, in `currency`.
    """

    change: Change
    by: str
    now: datetime
    price_id: PriceId
    currency: str


CHANGED: Final[Mapping[str, Callable[..., ShopEvent]]] = {
    "details": ProductChanged,
    "images": ProductImagesChanged,
    "ingredients": IngredientsChanged,
    "components": ComponentsChanged,
}
"""The event that replaces each field of a product."""


def decide(product: Product, command: Command) -> list[ShopEvent]:
    """The events of a command, none if it changes nothing.

    Raises ProductUnknown, PartUnknown, IngredientExists.
    """
    change, by, now = command.change, command.by, command.now
    match change:
        case AddProduct(product_id=number, details=details):
            if product.details is not None:
                return []
            added = ProductAdded(product_id=number, details=details, added_by=by, added_at=now)
            before = evolve(product, added)
            return [
                added,
                *_changed(before, replace(before, components=change.components), by, now),
            ]
        case RemoveProduct():
            _ = product.present
            return [ProductRemoved(product_id=product.product_id, removed_by=by, removed_at=now)]
        case _:
            return _changed(product, _edited(product, change), by, now)


def evolve(product: Product, event: ShopEvent) -> Product:
    """The product after an event."""
    match event:
        case ProductAdded(product_id=number, details=details, added_at=at):
            return Product(product_id=number, details=details, created_at=at, updated_at=at)
        case ProductChanged(details=details, changed_at=at):
            return replace(product, details=details, updated_at=at)
        case ProductImagesChanged(images=images, changed_at=at):
            last_id = _highest(product, (one.image_id for one in images))
            return replace(product, images=images, images_at=at, last_id=last_id, updated_at=at)
        case IngredientsChanged(ingredients=ingredients, changed_at=at):
            last_id = _highest(product, (one.ingredient_id for one in ingredients))
            return replace(product, ingredients=ingredients, last_id=last_id, updated_at=at)
        case ComponentsChanged(components=components, changed_at=at):
            last_id = _highest(product, (one.component_id for one in components))
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
    details = product.present
    if not details.is_active:
        raise ProductInactive(f"Товар «{details.name}» снят с продажи")
    needs = tuple((one.warehouse_item_id, one.quantity * quantity) for one in product.ingredients)
    return PricedLine(
        product_id=product.product_id,
        quantity=quantity,
        name=details.name,
        category=details.category,
        unit_price=current_price(details),
        needs=needs,
    )


def current_price(details: ProductDetails) -> int:
    """The price at which a product is sold now."""
    return details.sale_price or details.retail_price


def _changed(before: Product, after: Product, by: str, now: datetime) -> list[ShopEvent]:
    """The events of all fields that differ."""
    common = {"product_id": before.product_id, "changed_by": by, "changed_at": now}
    return [
        event(**{field: getattr(after, field)}, **common)
        for field, event in CHANGED.items()
        if getattr(after, field) != getattr(before, field)
    ]


def _edited(product: Product, change: Edit) -> Product:
    details = product.present
    match change:
        case ChangeProduct(changes=changes):
            details = replace(details, **changes)
        case SetPrice(price=price):
            sale = details.sale_price
            cheaper = sale if sale is not None and sale < price else None
            details = replace(details, retail_price=price, sale_price=cheaper)
        case ToggleActive():
            details = replace(details, is_active=not details.is_active)
        case SetImages(urls=urls):
            known = tuple(image.url for image in product.images)
            return (
                product if urls == known else replace(product, images=tuple(_images(product, urls)))
            )
        case AddPart() | ChangePart() | RemovePart():
            parts: dict[str, Any] = {change.kind.field: tuple(_parts(product, change))}
            return replace(product, **parts)
        case _:
            assert_never(change)
    return replace(product, details=details)


def _images(product: Product, urls: Iterable[str]) -> Iterator[ProductImage]:
    for number, url in enumerate(urls, product.last_id + 1):
        yield ProductImage(image_id=number, url=url)


def _parts(product: Product, change: OfParts) -> Iterator[Any]:
    kind = change.kind
    known = getattr(product, kind.field)
    if isinstance(change, AddPart):
        items = {one.warehouse_item_id for one in product.ingredients}
        if kind is INGREDIENTS and change.content["warehouse_item_id"] in items:
            raise IngredientExists
        yield from known
        yield kind.type(**{kind.id: product.last_id + 1}, **change.content)
        return
    if change.number not in {getattr(one, kind.id) for one in known}:
        raise PartUnknown
    for one in known:
        if getattr(one, kind.id) != change.number:
            yield one
        elif isinstance(change, ChangePart):
            yield replace(one, **change.changes)


def _highest(product: Product, numbers: Iterable[int]) -> int:
    return max(product.last_id, *numbers, 0)
