"""Products as clients read them (spec shop §4.3).

These models state no bounds: what is stored is answered, whatever it is.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field, computed_field

from contracts.shop import Component, Ingredient
from services.shop.products.domain import Product, Sales, current_price


class Part(BaseModel):
    """What an image, an ingredient and a component have in common."""

    id: int = Field(validation_alias="part_id")
    product_id: int


PartOut = TypeVar("PartOut", bound=Part)


class ImageOut(Part):
    """An image of a product."""

    image_url: str
    is_primary: bool
    sort_order: int
    created_at: datetime | None


class IngredientOut(Part):
    """What one piece of a product takes of a warehouse item."""

    warehouse_item_id: int
    quantity: int
    notes: str | None


class ComponentOut(Part):
    """A part of a product's calculation."""

    component_type: str = Field(validation_alias="kind")
    name: str
    description: str | None
    quantity: int
    unit: str
    unit_cost: int
    unit_price: int
    warehouse_item_id: int | None
    material_id: int | None

    @computed_field
    def total_cost(self) -> int:
        """The cost of all pieces."""
        return self.unit_cost * self.quantity

    @computed_field
    def total_price(self) -> int:
        """The price of all pieces."""
        return self.unit_price * self.quantity


class ProductOut(BaseModel):
    """A product."""

    id: int = Field(validation_alias="product_id")
    name: str
    category: str
    description: str | None
    image_url: str | None
    cost_price: int
    retail_price: int
    sale_price: int | None
    is_active: bool
    is_popular: bool
    is_new: bool
    article: int | None
    created_at: datetime | None
    updated_at: datetime | None
    images: list[ImageOut]
    ingredients: list[IngredientOut]
    components: list[ComponentOut]
    current_price: int

    @computed_field
    def discount_percentage(self) -> int:
        """How much cheaper than usual, in whole per cent rounded down; never below 0."""
        saved = self.retail_price - self.current_price
        return saved * 100 // self.retail_price if saved > 0 else 0


class ProductWithSales(ProductOut):
    """A product, and how often and for how much it was ordered."""

    total_orders: int
    total_revenue: int


def present(product: Product) -> ProductOut:
    """A product. Raises ProductUnknown if there is none."""
    return ProductOut.model_validate(_content(product))


def present_with_sales(product: Product, sales: Sales) -> ProductWithSales:
    """A product with its sales. Raises ProductUnknown if there is none."""
    sold = {"total_orders": sales.orders, "total_revenue": sales.revenue}
    return ProductWithSales.model_validate(_content(product) | sold)


def present_part(
    model: type[PartOut],
    product: Product,
    part: Ingredient | Component,
    more: Mapping[str, Any] | None = None,
) -> PartOut:
    """An ingredient or component of a product, with `more` values."""
    number = part.ingredient_id if isinstance(part, Ingredient) else part.component_id
    own = {**asdict(part), "product_id": product.product_id, "part_id": number}
    return model.model_validate({**own, **(more or {})})


def _content(product: Product) -> dict[str, Any]:
    images = [
        {
            "part_id": image.image_id,
            "product_id": product.product_id,
            "image_url": image.url,
            "is_primary": order == 0,
            "sort_order": order,
            "created_at": product.images_at,
        }
        for order, image in enumerate(product.images)
    ]
    return {
        **asdict(product.present),
        "product_id": product.product_id,
        "created_at": product.created_at,
        "updated_at": product.updated_at,
        "images": images,
        "ingredients": [present_part(IngredientOut, product, one) for one in product.ingredients],
        "components": [present_part(ComponentOut, product, one) for one in product.components],
        "current_price": current_price(product.present),
    }
