"""Products as clients read them (spec shop §4.3).

These models state no bounds: what is stored is answered, whatever it is.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.shop import Component, Ingredient, ProductImage
from services.shop.products.domain import (
    Product,
    ProductUnknown,
    Sales,
    current_price,
    discount_percentage,
)


class ImageOut(BaseModel):
    """An image of a product."""

    id: int
    product_id: int
    image_url: str
    is_primary: bool
    sort_order: int
    created_at: datetime | None


class IngredientOut(BaseModel):
    """What one piece of a product takes of a warehouse item."""

    id: int
    product_id: int
    warehouse_item_id: int
    quantity: int
    notes: str | None


class ComponentOut(BaseModel):
    """A part of a product's calculation."""

    id: int
    product_id: int
    component_type: str
    name: str
    description: str | None
    quantity: int
    unit: str
    unit_cost: int
    unit_price: int
    warehouse_item_id: int | None
    material_id: int | None
    total_cost: int
    total_price: int


class ProductOut(BaseModel):
    """A product."""

    id: int
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
    discount_percentage: int


class ProductWithSales(ProductOut):
    """A product, and how often and for how much it was ordered."""

    total_orders: int
    total_revenue: int


class Products(BaseModel):
    """A part of the products, and how many there are."""

    items: list[ProductOut]
    total: int


def present(product: Product) -> ProductOut:
    """A product. Raises ProductUnknown if there is none."""
    return ProductOut(**_content(product))


def present_with_sales(product: Product, sales: Sales) -> ProductWithSales:
    """A product with its sales. Raises ProductUnknown if there is none."""
    return ProductWithSales(
        **_content(product), total_orders=sales.orders, total_revenue=sales.revenue
    )


def present_ingredient(product_id: int, ingredient: Ingredient) -> IngredientOut:
    """An ingredient of a product."""
    return IngredientOut(
        id=ingredient.ingredient_id,
        product_id=product_id,
        warehouse_item_id=ingredient.warehouse_item_id,
        quantity=ingredient.quantity,
        notes=ingredient.notes,
    )


def present_component(product_id: int, component: Component) -> ComponentOut:
    """A component of a product."""
    return ComponentOut(
        id=component.component_id,
        product_id=product_id,
        component_type=component.kind,
        name=component.name,
        description=component.description,
        quantity=component.quantity,
        unit=component.unit,
        unit_cost=component.unit_cost,
        unit_price=component.unit_price,
        warehouse_item_id=component.warehouse_item_id,
        material_id=component.material_id,
        total_cost=component.unit_cost * component.quantity,
        total_price=component.unit_price * component.quantity,
    )


def _content(product: Product) -> dict[str, Any]:
    details, number = product.details, product.product_id
    if details is None:
        raise ProductUnknown
    named = {name: getattr(details, name) for name in type(details).__slots__}
    return {
        **named,
        "id": number,
        "created_at": product.created_at,
        "updated_at": product.updated_at,
        "images": [_image(product, order, one) for order, one in enumerate(product.images)],
        "ingredients": [present_ingredient(number, one) for one in product.ingredients],
        "components": [present_component(number, one) for one in product.components],
        "current_price": current_price(details),
        "discount_percentage": discount_percentage(details),
    }


def _image(product: Product, order: int, image: ProductImage) -> ImageOut:
    return ImageOut(
        id=image.image_id,
        product_id=product.product_id,
        image_url=image.url,
        is_primary=order == 0,
        sort_order=order,
        created_at=product.images_at,
    )
