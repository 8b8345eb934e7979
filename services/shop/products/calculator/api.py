"""Requests about materials, margins, and products made of a calculation (spec shop §4.7).

Decimals are texts with two digits in answers, and numbers or texts in requests.
"""

from dataclasses import asdict
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from contracts.shop import Material
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from services.shop.context import (
    MOST_TENGE,
    PathId,
    PlainText,
    Shop,
    authorship,
    changes_of,
    shop_number,
)
from services.shop.products import handlers as products
from services.shop.products.api.presenters import ProductOut, present
from services.shop.products.api.product import VISIBLE, Authored, Category, LongText, Name, Reader
from services.shop.products.calculator import handlers
from services.shop.products.calculator.domain import (
    AddMaterial,
    Calculation,
    ChangeMaterial,
    RemoveMaterial,
    Settings,
    StoredMaterial,
    calculated_product,
    components_of,
)
from services.shop.products.calculator.read_models import EXISTS, FILTERS, MATERIALS

router = APIRouter(prefix="/api/calculator", tags=["calculator"])

MATERIAL_VISIBLE: Final = visible("material")
CENT: Final = Decimal("0.01")


def _with_two_digits(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


Finite = Annotated[Decimal, Field(allow_inf_nan=False)]
Amount = Annotated[Finite, Field(ge=0, le=MOST_TENGE)]
Price = Annotated[Amount, Field(lt=100_000_000), AfterValidator(_with_two_digits)]
Percent = Annotated[Finite, Field(ge=0, le=1000), AfterValidator(_with_two_digits)]
Stored = Annotated[Decimal, AfterValidator(_with_two_digits)]
Word = Annotated[PlainText, Field(max_length=100)]
Unit = Annotated[PlainText, Field(min_length=1, max_length=20)]


class MaterialCreate(BaseModel):
    """A new material."""

    name: Name
    category: Word | None = None
    price: Price
    unit: Unit = "шт"
    is_active: bool = True
    in_stock: bool = True


class MaterialUpdate(BaseModel):
    """The fields to change: absent ones stay, and null removes the category."""

    name: Name | None = None
    category: Word | None = None
    price: Price | None = None
    unit: Unit | None = None
    is_active: bool | None = None
    in_stock: bool | None = None


class Times(BaseModel):
    """Whose it is, and when it was changed."""

    shop_id: int
    created_at: datetime | None
    updated_at: datetime | None


class MaterialOut(Times):
    """A material."""

    id: int = Field(validation_alias="material_id")
    name: str
    category: str | None
    price: Stored
    unit: str
    is_active: bool
    in_stock: bool


class CalculatorUpdate(BaseModel):
    """The settings to change; absent ones stay."""

    default_labor_cost: Price | None = None
    min_margin_percent: Percent | None = None
    recommended_margin_percent: Percent | None = None
    premium_margin_percent: Percent | None = None


class CalculatorOut(Times):
    """The settings of the calculator."""

    id: int = Field(validation_alias="shop_id")
    default_labor_cost: Stored
    min_margin_percent: Stored
    recommended_margin_percent: Stored
    premium_margin_percent: Stored


class ItemIn(BaseModel):
    """Flowers or materials of one kind; `price` of one."""

    name: Name
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]
    price: Amount


class CalculationIn(BaseModel):
    """A calculation of a client. A `total_cost` of 0 means that the cost is not known."""

    flowers: Annotated[list[ItemIn], Field(max_length=200)]
    materials: Annotated[list[ItemIn], Field(max_length=200)]
    labor_cost: Amount
    margin_percentage: Finite
    total_cost: Amount
    final_price: Amount


class CalculatedProduct(BaseModel):
    """A product of a calculation."""

    calculation: CalculationIn
    product_name: Name | None = None
    product_description: LongText | None = None
    category: Category = "bouquet"


@router.get("/materials")
async def list_materials(
    shop: Shop,
    caller: Reader,
    part: Annotated[Slice, by_skip(limit=100, most=1000)],
    category: Annotated[Word | None, Query()] = None,
    is_active: bool | None = None,
) -> Page[MaterialOut]:
    """The materials of the caller's shop, by number."""
    condition = FILTERS.where({"category": category or None, "is_active": is_active}) & EXISTS
    items, total = await MATERIALS.page(shop.reading, caller.tenant, condition, part)
    return Page(items=[_material(caller.tenant, one) for one in items], total=total)


@router.post("/materials", status_code=201, dependencies=[MATERIAL_VISIBLE])
async def add_material(shop: Shop, metadata: Authored, body: MaterialCreate) -> MaterialOut:
    """Add a material."""
    number = await handlers.NUMBERS.next(shop.system)
    material = Material(**body.model_dump())
    command = AddMaterial(material_id=number, material=material, **authorship(shop, metadata))
    added = await handlers.change_material(shop, number, command, metadata)
    return _material(metadata.tenant, added)


@router.get("/materials/{number}")
async def read_material(shop: Shop, caller: Reader, number: PathId) -> MaterialOut:
    """A material."""
    return _material(caller.tenant, await MATERIALS.find(shop.reading, caller.tenant, number))


@router.patch("/materials/{number}", dependencies=[MATERIAL_VISIBLE])
async def change_material(
    shop: Shop, metadata: Authored, number: PathId, body: MaterialUpdate
) -> MaterialOut:
    """Change the given fields of a material."""
    command = ChangeMaterial(changes=changes_of(body, "category"), **authorship(shop, metadata))
    changed = await handlers.change_material(shop, number, command, metadata)
    return _material(metadata.tenant, changed)


@router.delete("/materials/{number}", status_code=204, dependencies=[MATERIAL_VISIBLE])
async def remove_material(shop: Shop, metadata: Authored, number: PathId) -> None:
    """Remove a material. Products that were calculated with it stay."""
    command = RemoveMaterial(**authorship(shop, metadata))
    await handlers.change_material(shop, number, command, metadata)


@router.get("/settings")
async def read_settings(shop: Shop, caller: Reader) -> CalculatorOut:
    """The settings of the calculator."""
    return _settings(caller.tenant, await handlers.load_settings(shop, caller.tenant))


@router.patch("/settings")
async def change_settings(shop: Shop, metadata: Authored, body: CalculatorUpdate) -> CalculatorOut:
    """Change some of the settings."""
    changed = await handlers.change_settings(shop, changes_of(body), metadata)
    return _settings(metadata.tenant, changed)


@router.post("/create-product", status_code=201, dependencies=[VISIBLE])
async def create_product(shop: Shop, metadata: Authored, body: CalculatedProduct) -> ProductOut:
    """Add the product of a calculation. 422 if its numbers do not agree."""
    calculation = msgspec.convert(body.calculation, Calculation, from_attributes=True)
    details = calculated_product(
        calculation,
        name=body.product_name,
        description=body.product_description,
        category=body.category,
    )
    components = components_of(calculation)
    return present(await products.add(shop, details, metadata, components=components))


def _material(tenant: str, stored: StoredMaterial) -> MaterialOut:
    """Raises MaterialUnknown."""
    values = {**asdict(stored), **asdict(stored.present), "shop_id": shop_number(tenant)}
    return MaterialOut.model_validate(values)


def _settings(tenant: str, stored: Settings) -> CalculatorOut:
    values = {**asdict(stored), **asdict(stored.settings), "shop_id": shop_number(tenant)}
    return CalculatorOut.model_validate(values)
