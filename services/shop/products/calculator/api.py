"""Requests about materials, margins, and products made of a calculation (spec shop §4.7).

Decimals are texts with two digits in answers, and numbers or texts in requests.
"""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field

from contracts.shop import Material
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from services.shop.context import MOST_TENGE, Shop, shop_number
from services.shop.products.api.presenters import ProductOut, present
from services.shop.products.api.product import (
    VISIBLE,
    Authored,
    Category,
    Id,
    LongText,
    Name,
    Reader,
)
from services.shop.products.calculator import handlers, read_models
from services.shop.products.calculator.domain import (
    Calculation,
    ChangeMaterial,
    Item,
    MaterialUnknown,
    RemoveMaterial,
    Settings,
    StoredMaterial,
)

router = APIRouter(prefix="/api/calculator", tags=["calculator"])

MATERIAL_VISIBLE: Final = visible("material")
CENT: Final = Decimal("0.01")


def _with_two_digits(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


Finite = Annotated[Decimal, Field(allow_inf_nan=False)]
Amount = Annotated[Finite, Field(ge=0, le=MOST_TENGE)]
Price = Annotated[Amount, Field(lt=100_000_000), AfterValidator(_with_two_digits)]
Percent = Annotated[Finite, Field(ge=0, le=1000), AfterValidator(_with_two_digits)]
Word = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
Unit = Annotated[str, Field(min_length=1, max_length=20, pattern=r"^[^\x00]*$")]


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


class MaterialOut(BaseModel):
    """A material."""

    id: int
    shop_id: int
    name: str
    category: str | None
    price: Decimal
    unit: str
    is_active: bool
    in_stock: bool
    created_at: datetime | None
    updated_at: datetime | None


class Materials(BaseModel):
    """A part of the materials, and how many there are."""

    items: list[MaterialOut]
    total: int


class CalculatorUpdate(BaseModel):
    """The settings to change; absent ones stay."""

    default_labor_cost: Price | None = None
    min_margin_percent: Percent | None = None
    recommended_margin_percent: Percent | None = None
    premium_margin_percent: Percent | None = None


class CalculatorOut(BaseModel):
    """The settings of the calculator."""

    id: int
    shop_id: int
    default_labor_cost: Decimal
    min_margin_percent: Decimal
    recommended_margin_percent: Decimal
    premium_margin_percent: Decimal
    created_at: datetime | None
    updated_at: datetime | None


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

    def content(self) -> Calculation:
        """The calculation itself."""
        return Calculation(
            flowers=[Item(**dict(one)) for one in self.flowers],
            materials=[Item(**dict(one)) for one in self.materials],
            labor_cost=self.labor_cost,
            margin_percentage=self.margin_percentage,
            total_cost=self.total_cost,
            final_price=self.final_price,
        )


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
    category: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")] = None,
    is_active: bool | None = None,
) -> Materials:
    """The materials of the caller's shop, by number."""
    values = {"category": category or None, "is_active": is_active}
    items, total = await read_models.page(shop.reading, caller.tenant, values, part)
    return Materials(items=[_material(caller.tenant, one) for one in items], total=total)


@router.post("/materials", status_code=201, dependencies=[MATERIAL_VISIBLE])
async def add_material(shop: Shop, metadata: Authored, body: MaterialCreate) -> MaterialOut:
    """Add a material."""
    material = Material(**body.model_dump())
    return _material(metadata.tenant, await handlers.add_material(shop, material, metadata))


@router.get("/materials/{number}")
async def read_material(shop: Shop, caller: Reader, number: Id) -> MaterialOut:
    """A material."""
    return _material(caller.tenant, await read_models.find(shop.reading, caller.tenant, number))


@router.patch("/materials/{number}", dependencies=[MATERIAL_VISIBLE])
async def change_material(
    shop: Shop, metadata: Authored, number: Id, body: MaterialUpdate
) -> MaterialOut:
    """Change the given fields of a material."""
    given = body.model_dump(exclude_unset=True)
    changes = {name: one for name, one in given.items() if one is not None or name == "category"}
    changed = await handlers.change_material(shop, number, ChangeMaterial(changes), metadata)
    return _material(metadata.tenant, changed)


@router.delete("/materials/{number}", status_code=204, dependencies=[MATERIAL_VISIBLE])
async def remove_material(shop: Shop, metadata: Authored, number: Id) -> Response:
    """Remove a material. Products that were calculated with it stay."""
    await handlers.change_material(shop, number, RemoveMaterial(), metadata)
    return Response(status_code=204)


@router.get("/settings")
async def read_settings(shop: Shop, caller: Reader) -> CalculatorOut:
    """The settings of the calculator."""
    return _settings(caller.tenant, await handlers.load_settings(shop, caller.tenant))


@router.patch("/settings")
async def change_settings(shop: Shop, metadata: Authored, body: CalculatorUpdate) -> CalculatorOut:
    """Change some of the settings."""
    changes = body.model_dump(exclude_none=True)
    changed = await handlers.change_settings(shop, changes, metadata)
    return _settings(metadata.tenant, changed)


@router.post("/create-product", status_code=201, dependencies=[VISIBLE])
async def create_product(shop: Shop, metadata: Authored, body: CalculatedProduct) -> ProductOut:
    """Add the product of a calculation. 422 if its numbers do not agree."""
    product = await handlers.create_product(
        shop,
        body.calculation.content(),
        metadata,
        name=body.product_name,
        description=body.product_description,
        category=body.category,
    )
    return present(product)


def _material(tenant: str, stored: StoredMaterial) -> MaterialOut:
    material = stored.material
    if material is None:
        raise MaterialUnknown
    return MaterialOut(
        id=stored.material_id,
        shop_id=shop_number(tenant),
        name=material.name,
        category=material.category,
        price=_with_two_digits(material.price),
        unit=material.unit,
        is_active=material.is_active,
        in_stock=material.in_stock,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def _settings(tenant: str, stored: Settings) -> CalculatorOut:
    number = shop_number(tenant)
    amounts: dict[str, Any] = {
        name: _with_two_digits(getattr(stored.settings, name))
        for name in type(stored.settings).__slots__
    }
    return CalculatorOut(
        id=number,
        shop_id=number,
        **amounts,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
