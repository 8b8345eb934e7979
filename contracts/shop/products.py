"""What a shop sells, and what it is made of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

PRODUCTS: Final = "shop.product"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductDetails:
    """A product in the catalogue; its prices are in whole tenge.

    `category` is `bouquet`, `composition`, `potted` or `other`. The product is sold at `sale_price`
    if it has one, otherwise at `retail_price`. With an `article`, the code of the product on
    scales and kiosks, which no other product of the shop has, each change of that price is
    announced as `PriceChanged`.
    """

    name: str
    category: str
    cost_price: int
    retail_price: int
    description: str | None = None
    image_url: str | None = None
    sale_price: int | None = None
    is_active: bool = True
    is_popular: bool = False
    is_new: bool = False
    article: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductImage:
    """An image of a product; the first of its images is the primary one."""

    image_id: int
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingredient:
    """Stock that one piece of a product takes: `quantity` of a warehouse item."""

    ingredient_id: int
    warehouse_item_id: int
    quantity: int
    notes: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A part of a product's calculation: a `flower`, a `material` or a `service`.

    `unit_cost` and `unit_price` are in whole tenge.
    """

    component_id: int
    kind: str
    name: str
    quantity: int
    unit: str
    unit_cost: int
    unit_price: int
    description: str | None = None
    warehouse_item_id: int | None = None
    material_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductAdded:
    """A product was added to the catalogue. `product_id` is its number for clients."""

    product_id: int
    details: ProductDetails
    added_by: str
    added_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductChanged:
    """The details of a product were set to `details`."""

    product_id: int
    details: ProductDetails
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductImagesChanged:
    """The images of a product were set to `images`."""

    product_id: int
    images: tuple[ProductImage, ...]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class IngredientsChanged:
    """The stock that one piece of a product takes was set to `ingredients`."""

    product_id: int
    ingredients: tuple[Ingredient, ...]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentsChanged:
    """The parts of a product's calculation were set to `components`."""

    product_id: int
    components: tuple[Component, ...]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRemoved:
    """A product was removed from the catalogue; orders keep what they took over from it."""

    product_id: int
    removed_by: str
    removed_at: datetime


ProductEvent: TypeAlias = (
    ProductAdded
    | ProductChanged
    | ProductImagesChanged
    | IngredientsChanged
    | ComponentsChanged
    | ProductRemoved
)
EVENTS: Final = (
    ProductAdded,
    ProductChanged,
    ProductImagesChanged,
    IngredientsChanged,
    ComponentsChanged,
    ProductRemoved,
)
