"""Requests about what a product takes of the stock, and about its calculation (spec shop §4.3)."""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, Field

from services.shop.context import Shop, Tenge
from services.shop.products import handlers, read_models
from services.shop.products.api.presenters import (
    ComponentOut,
    IngredientOut,
    present_component,
    present_ingredient,
)
from services.shop.products.api.product import VISIBLE, Authored, Id, Name, ProductId, Reader
from services.shop.products.domain import (
    AddComponent,
    ChangeComponent,
    ChangeIngredient,
    RemoveComponent,
    RemoveIngredient,
    StockedItem,
)

router = APIRouter(prefix="/api/products/{product_id}", tags=["products"])

Notes = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
Kind = Literal["flower", "material", "service"]


class IngredientCreate(BaseModel):
    """A new ingredient. The admin names the warehouse item by a text (spec shop §12)."""

    warehouse_item_id: Id = Field(
        validation_alias=AliasChoices("warehouse_item_id", "warehouseItemId")
    )
    quantity: Quantity
    notes: Notes | None = None


class IngredientUpdate(BaseModel):
    """The fields to change; absent notes stay."""

    quantity: Quantity
    notes: Notes | None = None


class StockedIngredient(IngredientOut):
    """An ingredient with its warehouse item; without these values if that does not exist."""

    variety: str | None = None
    height_cm: int | None = None
    supplier: str | None = None
    farm: str | None = None
    available_qty: int | None = None
    price: int | None = None


class ComponentCreate(BaseModel):
    """A new component."""

    component_type: Kind
    name: Name
    quantity: Quantity
    description: Notes | None = None
    unit: Annotated[str, Field(max_length=20, pattern=r"^[^\x00]*$")] = "шт"
    unit_cost: Tenge = 0
    unit_price: Tenge = 0
    warehouse_item_id: Id | None = None
    material_id: Id | None = None


class ComponentUpdate(BaseModel):
    """The fields to change. Other fields of the request, such as an id, are ignored (S16)."""

    component_type: Kind | None = None
    name: Name | None = None
    quantity: Quantity | None = None
    description: Notes | None = None
    unit: Annotated[str, Field(max_length=20, pattern=r"^[^\x00]*$")] | None = None
    unit_cost: Tenge | None = None
    unit_price: Tenge | None = None
    warehouse_item_id: Id | None = None
    material_id: Id | None = None


CLEARED: Final = frozenset({"description", "warehouse_item_id", "material_id"})
"""The fields of a component that null removes."""


class Removed(BaseModel):
    """What was done."""

    message: str


@router.get("/ingredients")
async def ingredients(shop: Shop, caller: Reader, product_id: ProductId) -> list[StockedIngredient]:
    """What one piece of a product takes of the stock."""
    product = await read_models.find(shop.reading, caller.tenant, product_id)
    numbers = [one.warehouse_item_id for one in product.ingredients]
    items = await handlers.stocked(shop, caller.tenant, numbers)
    return [
        StockedIngredient(
            **present_ingredient(product_id, one).model_dump(),
            **_stock(items.get(one.warehouse_item_id)),
        )
        for one in product.ingredients
    ]


@router.post("/ingredients", status_code=201, dependencies=[VISIBLE])
async def add_ingredient(
    shop: Shop, metadata: Authored, product_id: ProductId, body: IngredientCreate
) -> IngredientOut:
    """Add an ingredient. 400 if the product takes this warehouse item already."""
    product = await handlers.add_ingredient(shop, product_id, body.model_dump(), metadata)
    return present_ingredient(product_id, product.ingredients[-1])


@router.put("/ingredients/{number}", dependencies=[VISIBLE])
async def change_ingredient(
    shop: Shop, metadata: Authored, product_id: ProductId, number: Id, body: IngredientUpdate
) -> IngredientOut:
    """Change quantity and notes of an ingredient."""
    change = ChangeIngredient(number, body.model_dump(exclude_unset=True))
    product = await handlers.change(shop, product_id, change, metadata)
    [changed] = [one for one in product.ingredients if one.ingredient_id == number]
    return present_ingredient(product_id, changed)


@router.delete("/ingredients/{number}", dependencies=[VISIBLE])
async def remove_ingredient(
    shop: Shop, metadata: Authored, product_id: ProductId, number: Id
) -> Removed:
    """Remove an ingredient."""
    await handlers.change(shop, product_id, RemoveIngredient(number), metadata)
    return Removed(message="Ингредиент удалён")


@router.get("/components")
async def components(shop: Shop, caller: Reader, product_id: ProductId) -> list[ComponentOut]:
    """The parts of a product's calculation."""
    product = await read_models.find(shop.reading, caller.tenant, product_id)
    return [present_component(product_id, one) for one in product.components]


@router.post("/components", status_code=201, dependencies=[VISIBLE])
async def add_component(
    shop: Shop, metadata: Authored, product_id: ProductId, body: ComponentCreate
) -> ComponentOut:
    """Add a component."""
    change = AddComponent(_content(body.model_dump()))
    product = await handlers.change(shop, product_id, change, metadata)
    return present_component(product_id, product.components[-1])


@router.put("/components/{number}", dependencies=[VISIBLE])
async def change_component(
    shop: Shop, metadata: Authored, product_id: ProductId, number: Id, body: ComponentUpdate
) -> ComponentOut:
    """Change the given fields of a component."""
    change = ChangeComponent(number, _content(body.model_dump(exclude_unset=True)))
    product = await handlers.change(shop, product_id, change, metadata)
    [changed] = [one for one in product.components if one.component_id == number]
    return present_component(product_id, changed)


@router.delete("/components/{number}", dependencies=[VISIBLE])
async def remove_component(
    shop: Shop, metadata: Authored, product_id: ProductId, number: Id
) -> Removed:
    """Remove a component."""
    await handlers.change(shop, product_id, RemoveComponent(number), metadata)
    return Removed(message="Компонент удалён")


def _stock(item: StockedItem | None) -> dict[str, Any]:
    return {} if item is None else asdict(item)


def _content(given: dict[str, Any]) -> dict[str, Any]:
    """The values named as fields of `Component`; null removes those that may be absent."""
    renamed = {"kind" if name == "component_type" else name: one for name, one in given.items()}
    return {name: one for name, one in renamed.items() if one is not None or name in CLEARED}
