"""A product: its details, images, ingredients and components, and what changes them.

Images and parts are numbered within the product; a number is never used again. Prices are whole
tenge.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from contracts import shop
from contracts.shop import ProductDetails, ShopEvent
from libs.currency import minor_unit_digits
from libs.errors import BadRequest, NotFound
from libs.eventsourcing.decider import Decider

STARTERS: Final = tuple(
    ProductDetails(
        name=name,
        category=category,
        description=description,
        cost_price=cost,
        retail_price=retail,
        sale_price=sale,
        is_popular=is_popular,
        is_new=not is_popular,
    )
    for name, category, description, cost, retail, sale, is_popular in (
        (
            "Букет роз «Классика»",
            "bouquet",
            "Классический букет из 15 красных роз",
            10_000,
            25_000,
            22_000,
            True,
        ),
        (
            "Букет тюльпанов «Весна»",
            "bouquet",
            "Нежный букет из 25 тюльпанов",
            8_000,
            18_000,
            16_000,
            False,
        ),
        (
            "Композиция «Праздничная»",
            "composition",
            "Праздничная композиция в корзине",
            15_000,
            35_000,
            32_000,
            True,
        ),
    )
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
    images: tuple[shop.ProductImage, ...] = ()
    images_at: datetime | None = None
    ingredients: tuple[shop.Ingredient, ...] = ()
    components: tuple[shop.Component, ...] = ()
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


INGREDIENTS: Final = Parts("ingredients", shop.Ingredient, "ingredient_id")
COMPONENTS: Final = Parts("components", shop.Component, "component_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class AddProduct:
    """Add a product under a new number, with the components of its calculation."""

    product_id: int
    details: ProductDetails
    components: tuple[shop.Component, ...] = ()


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
    """Replace the fields of `changes`, named as those of the part's class; None removes it."""

    kind: Parts
    number: int
    changes: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class RemoveProduct:
    """Remove the product from the catalogue."""


Edit: TypeAlias = ChangeProduct | SetPrice | ToggleActive | SetImages | AddPart | ChangePart
Change: TypeAlias = AddProduct | Edit | RemoveProduct


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A change of a product, its author and time.

    Another price is announced with `price_id`, the id of a new event, in `currency`.
    """

    change: Change
    by: str
    now: datetime
    price_id: shop.PriceId
    currency: str


CHANGED: Final[Mapping[str, Callable[..., ShopEvent]]] = {
    "details": shop.ProductChanged,
    "images": shop.ProductImagesChanged,
    "ingredients": shop.IngredientsChanged,
    "components": shop.ComponentsChanged,
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
            added = shop.ProductAdded(product_id=number, details=details, added_by=by, added_at=now)
            before = evolve(product, added)
            after = replace(before, components=change.components)
            return [added, *_changed(before, after, by, now)]
        case RemoveProduct():
            _, number = product.present, product.product_id
            return [shop.ProductRemoved(product_id=number, removed_by=by, removed_at=now)]
        case _:
            return _changed(product, _edited(product, change), by, now)


def evolve(product: Product, event: ShopEvent) -> Product:
    """The product after an event."""
    match event:
        case shop.ProductAdded(product_id=number, details=details, added_at=at):
            return Product(product_id=number, details=details, created_at=at, updated_at=at)
        case shop.ProductChanged(details=details, changed_at=at):
            return replace(product, details=details, updated_at=at)
        case shop.ProductImagesChanged(images=images, changed_at=at):
            numbers = [one.image_id for one in images]
            return _numbered(product, at, numbers, images=images, images_at=at)
        case shop.IngredientsChanged(ingredients=ingredients, changed_at=at):
            numbers = [one.ingredient_id for one in ingredients]
            return _numbered(product, at, numbers, ingredients=ingredients)
        case shop.ComponentsChanged(components=components, changed_at=at):
            numbers = [one.component_id for one in components]
            return _numbered(product, at, numbers, components=components)
        case shop.ProductRemoved():
            return Product()
        case _:
            return product


PRODUCT: Final = Decider(category="product", initial=Product(), decide=decide, evolve=evolve)


def price_after(details: ProductDetails | None, command: Command) -> shop.PriceChanged | None:
    """The price of a product with an article after a command."""
    if details is None or details.article is None:
        return None
    return shop.PriceChanged(
        price_id=command.price_id,
        article=details.article,
        amount=current_price(details) * 10 ** minor_unit_digits(command.currency),
        currency=command.currency,
        valid_at=command.now,
        changed_by=command.by,
        changed_at=command.now,
    )


def decide_price(known: shop.PriceChanged | None, new: shop.PriceChanged) -> list[ShopEvent]:
    """The announcement of a price, unless it repeats the last one."""
    prices = [one and (one.article, one.amount, one.currency) for one in (known, new)]
    return [new] if prices[0] != prices[1] else []


def evolve_price(known: shop.PriceChanged | None, event: ShopEvent) -> shop.PriceChanged | None:
    """The last announcement."""
    return event if isinstance(event, shop.PriceChanged) else known


PRICE: Final[Decider[shop.PriceChanged | None, shop.PriceChanged, ShopEvent]] = Decider(
    category="price", initial=None, decide=decide_price, evolve=evolve_price
)
"""The announced prices of one product, whose number is the id."""


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
            if urls == tuple(image.url for image in product.images):
                return product
            numbered = enumerate(urls, product.last_id + 1)
            images = tuple(shop.ProductImage(image_id=number, url=url) for number, url in numbered)
            return replace(product, images=images)
        case AddPart() | ChangePart():
            parts: dict[str, Any] = {change.kind.field: tuple(_parts(product, change))}
            return replace(product, **parts)
        case _:
            assert_never(change)
    return replace(product, details=details)


def _parts(product: Product, change: AddPart | ChangePart) -> Iterator[Any]:
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
        elif change.changes is not None:
            yield replace(one, **change.changes)


def _numbered(product: Product, at: datetime, numbers: Iterable[int], **fields: Any) -> Product:
    last_id = max([product.last_id, *numbers])
    return replace(product, last_id=last_id, updated_at=at, **fields)
