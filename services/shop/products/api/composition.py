"""Requests about what a product takes of the stock, and about its calculation (spec shop §4.3)."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, Field

from services.shop.context import Id, PathId, PlainText, Shop, Tenge, changes_of
from services.shop.products import handlers
from services.shop.products.api.presenters import ComponentOut, IngredientOut, present_part
from services.shop.products.api.product import VISIBLE, Authored, Name, Reader, existing
from services.shop.products.domain import COMPONENTS, INGREDIENTS, AddPart, ChangePart

router = APIRouter(prefix="/api/products/{product_id}", tags=["products"])

Notes = Annotated[PlainText, Field(max_length=1000)]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
Kind = Literal["flower", "material", "service"]
Unit = Annotated[PlainText, Field(max_length=20)]


class IngredientUpdate(BaseModel):
    """The fields to change; absent notes stay."""

    quantity: Quantity
    notes: Notes | None = None


class IngredientCreate(IngredientUpdate):
    """A new ingredient. The admin names the warehouse item by a text (spec shop §12)."""

    warehouse_item_id: Id = Field(
        validation_alias=AliasChoices("warehouse_item_id", "warehouseItemId")
    )


class StockedIngredient(IngredientOut):
    """An ingredient with its warehouse item; without these values if that does not exist."""

    variety: str | None = None
    height_cm: int | None = None
    supplier: str | None = None
    farm: str | None = None
    available_qty: int | None = None
    price: int | None = None


class ComponentExtras(BaseModel):
    """What a component may lack."""

    description: Notes | None = None
    warehouse_item_id: Id | None = None
    material_id: Id | None = None


class ComponentCreate(ComponentExtras):
    """A new component."""

    kind: Kind = Field(validation_alias="component_type")
    name: Name
    quantity: Quantity
    unit: Unit = "шт"
    unit_cost: Tenge = 0
    unit_price: Tenge = 0


class ComponentUpdate(ComponentExtras):
    """The fields to change. Other fields of the request, such as an id, are ignored (S16)."""

    kind: Kind | None = Field(default=None, validation_alias="component_type")
    name: Name | None = None
    quantity: Quantity | None = None
    unit: Unit | None = None
    unit_cost: Tenge | None = None
    unit_price: Tenge | None = None


class Removed(BaseModel):
    """What was done."""

    message: str


@router.get("/ingredients")
async def ingredients(shop: Shop, caller: Reader, product_id: PathId) -> list[StockedIngredient]:
    """What one piece of a product takes of the stock."""
    product = await existing(shop, caller, product_id)
    numbers = [one.warehouse_item_id for one in product.ingredients]
    items = await shop.hooks.stocked_items(shop.reading, caller.tenant, numbers)
    stock = {number: asdict(item) for number, item in items.items()}
    return [
        present_part(StockedIngredient, product, one, stock.get(one.warehouse_item_id))
        for one in product.ingredients
    ]


@router.post("/ingredients", status_code=201, dependencies=[VISIBLE])
async def add_ingredient(
    shop: Shop, metadata: Authored, product_id: PathId, body: IngredientCreate
) -> IngredientOut:
    """Add an ingredient. 400 if the product takes this warehouse item already."""
    product = await handlers.add_ingredient(shop, product_id, body.model_dump(), metadata)
    return present_part(IngredientOut, product, product.ingredients[-1])


@router.put("/ingredients/{number}", dependencies=[VISIBLE])
async def change_ingredient(
    shop: Shop, metadata: Authored, product_id: PathId, number: PathId, body: IngredientUpdate
) -> IngredientOut:
    """Change quantity and notes of an ingredient."""
    change = ChangePart(INGREDIENTS, number, body.model_dump(exclude_unset=True))
    product = await handlers.change(shop, product_id, change, metadata)
    [changed] = [one for one in product.ingredients if one.ingredient_id == number]
    return present_part(IngredientOut, product, changed)


@router.delete("/ingredients/{number}", dependencies=[VISIBLE])
async def remove_ingredient(
    shop: Shop, metadata: Authored, product_id: PathId, number: PathId
) -> Removed:
    """Remove an ingredient."""
    await handlers.change(shop, product_id, ChangePart(INGREDIENTS, number, None), metadata)
    return Removed(message="Ингредиент удалён")


@router.get("/components")
async def components(shop: Shop, caller: Reader, product_id: PathId) -> list[ComponentOut]:
    """The parts of a product's calculation."""
    product = await existing(shop, caller, product_id)
    return [present_part(ComponentOut, product, one) for one in product.components]


@router.post("/components", status_code=201, dependencies=[VISIBLE])
async def add_component(
    shop: Shop, metadata: Authored, product_id: PathId, body: ComponentCreate
) -> ComponentOut:
    """Add a component."""
    change = AddPart(COMPONENTS, body.model_dump())
    product = await handlers.change(shop, product_id, change, metadata)
    return present_part(ComponentOut, product, product.components[-1])


@router.put("/components/{number}", dependencies=[VISIBLE])
async def change_component(
    shop: Shop, metadata: Authored, product_id: PathId, number: PathId, body: ComponentUpdate
) -> ComponentOut:
    """Change the given fields of a component."""
    change = ChangePart(COMPONENTS, number, changes_of(body, *ComponentExtras.model_fields))
    product = await handlers.change(shop, product_id, change, metadata)
    [changed] = [one for one in product.components if one.component_id == number]
    return present_part(ComponentOut, product, changed)


@router.delete("/components/{number}", dependencies=[VISIBLE])
async def remove_component(
    shop: Shop, metadata: Authored, product_id: PathId, number: PathId
) -> Removed:
    """Remove a component."""
    await handlers.change(shop, product_id, ChangePart(COMPONENTS, number, None), metadata)
    return Removed(message="Компонент удалён")
