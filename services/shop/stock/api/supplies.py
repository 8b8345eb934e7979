"""Requests about supplies, importing them from text, and categories of flowers (spec shop §4.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from contracts.shop import FlowerCategorySet
from libs.errors import BadRequest
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.idempotency import Once, idempotent
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import Connection, tenant_transaction
from services.shop.context import WAREHOUSE, ApiContext, Shop
from services.shop.staff.adapters import Directory
from services.shop.stock.api.fields import (
    MOST,
    Currency,
    Id,
    Moment,
    Name,
    Rate,
    Text,
    in_utc,
    plain,
    staff_name,
)
from services.shop.stock.domain.category import Categories, detect
from services.shop.stock.domain.pricing import DEFAULT_MARKUP, retail_price
from services.shop.stock.domain.receipt import Line, Origin, SupplyUnknown
from services.shop.stock.domain.supply_text import HIGHEST_CM, LOWEST_CM, parse
from services.shop.stock.handlers import receipt as handlers
from services.shop.stock.read_models import category, item, receipt
from services.shop.stock.read_models.receipt import StoredReceipt

router = APIRouter(prefix="/api/supplies", tags=["supplies"])

Reader = Annotated[Principal, Depends(WAREHOUSE)]
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
OneSupply = Annotated[Once, idempotent("supply")]
RECEIVED: Final = visible("warehouse_item", "stock_movement", "receipt")
ARCHIVED: Final = visible("receipt")
CATEGORIES: Final = visible("flower_category")
LONGEST_TEXT: Final = 200_000

Markup = Annotated[Decimal, Field(ge=0, le=500)]
Status = Literal["active", "archived"]


class SupplyEmpty(BadRequest):
    """В поставке должна быть хотя бы одна позиция"""


class NewCategory(BaseModel):
    """A category of flowers; `keywords` are separated by commas."""

    name: Name
    markup_percentage: Markup
    keywords: Text | None = None


class CategoryUpdate(BaseModel):
    """The fields to replace; absent ones stay."""

    name: Name | None = None
    markup_percentage: Markup | None = None
    keywords: Text | None = None

    def changes(self) -> dict[str, Any]:
        """The changed fields, named as those of the event."""
        given = self.model_dump(exclude_unset=True, exclude={"markup_percentage"})
        if given.get("name", "") is None:
            del given["name"]
        if self.markup_percentage is not None:
            given["markup_percent"] = self.markup_percentage
        return given


class CategoryOut(BaseModel):
    """A category of flowers."""

    id: int
    name: str
    markup_percentage: float
    keywords: str | None
    created_at: datetime
    updated_at: datetime


class SupplyText(BaseModel):
    """The text of a supply, one line for each flower."""

    text: Annotated[str, AfterValidator(plain), Field(max_length=LONGEST_TEXT)]
    supplier: Text | None = None


class ParsedItem(BaseModel):
    """A flower of a supply's text, with its category and retail price."""

    flower_name: str
    height_cm: int
    purchase_price: float
    quantity: int
    category_id: int | None
    category_name: str | None
    retail_price: int


class Preview(BaseModel):
    """What a text would import, and the lines that it would not."""

    supplier: str | None
    items: list[ParsedItem]
    total_cost: float
    errors: list[str]


class NewSupplyItem(BaseModel):
    """Stems of one flower in a supply."""

    flower_name: Name
    height_cm: Annotated[int, Field(ge=LOWEST_CM, le=HIGHEST_CM)]
    purchase_price: Annotated[Decimal, Field(gt=0, le=MOST)]
    quantity: Annotated[int, Field(gt=0, le=MOST)]
    category_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None


class NewSupply(BaseModel):
    """A supply to import. Without a date it came in now."""

    supplier: Name
    farm: Text | None = None
    delivery_date: Annotated[Moment | None, BeforeValidator(lambda value: value or None)] = None
    currency: Currency = "KZT"
    rate: Rate = Decimal(1)
    notes: Text | None = None
    comment: Text | None = None
    items: Annotated[list[NewSupplyItem], Field(max_length=500)]


class SupplyItemOut(BaseModel):
    """A flower of a supply; its id is that of its batch."""

    id: int
    supply_id: int
    flower_name: str
    height_cm: int
    purchase_price: float
    quantity: int
    remaining_quantity: int
    retail_price: int
    total_cost: float
    category_id: int | None
    category: CategoryOut | None
    created_at: datetime


class SupplyOut(BaseModel):
    """A supply. Costs are in its currency."""

    id: int
    supplier: str
    farm: str | None
    delivery_date: datetime
    currency: str
    rate: float
    notes: str | None
    comment: str | None
    status: Status
    total_cost: float
    created_at: datetime
    created_by: str | None
    items: list[SupplyItemOut]


class Supplies(BaseModel):
    """A page of supplies."""

    items: list[SupplyOut]
    total: int


@router.get("/categories")
async def list_categories(shop: Shop, caller: Reader) -> list[CategoryOut]:
    """The categories of the caller's shop, by name."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return [_category(one) for one in await category.list_all(connection)]


@router.post("/categories", status_code=201, dependencies=[CATEGORIES])
async def add_category(
    shop: Shop, caller: Reader, metadata: Authored, body: NewCategory
) -> CategoryOut:
    """Add a category; 400 if its name is taken."""
    event = await handlers.add_category(
        shop, body.name, body.markup_percentage, body.keywords, metadata
    )
    return _category(event)


@router.put("/categories/{category_id}", dependencies=[CATEGORIES])
async def change_category(
    shop: Shop, caller: Reader, metadata: Authored, category_id: Id, body: CategoryUpdate
) -> CategoryOut:
    """Replace fields of a category; 400 if its name is taken."""
    event = await handlers.change_category(shop, category_id, body.changes(), metadata)
    return _category(event)


@router.post("/parse")
async def parse_text(shop: Shop, caller: Reader, body: SupplyText) -> Preview:
    """What a text would import. Nothing is changed."""
    lines, errors = parse(body.text)
    categories = await handlers.load_categories(shop, caller.tenant)
    return Preview(
        supplier=body.supplier,
        items=[_parsed(line, categories) for line in lines],
        total_cost=float(sum(line.cost * line.quantity for line in lines)),
        errors=list(errors),
    )


@router.post("/import", status_code=201, response_model=SupplyOut, dependencies=[RECEIVED])
async def import_supply(
    shop: Shop, caller: Reader, metadata: Authored, body: NewSupply, once: OneSupply
) -> Response:
    """Take a supply into stock: each item becomes a batch, all of them or none."""
    if not body.items:
        raise SupplyEmpty
    delivered_at = in_utc(body.delivery_date or shop.clock(), shop.settings.zone)
    given = body.model_dump(exclude={"delivery_date", "items"})
    origin = Origin(**given, delivered_at=delivered_at)
    lines = [
        Line(
            variety=one.flower_name,
            height_cm=one.height_cm,
            quantity=one.quantity,
            cost=one.purchase_price,
            category_id=one.category_id,
        )
        for one in body.items
    ]

    async def received(command_id: UUID) -> SupplyOut:
        goods = await handlers.receive_supply(shop, origin, lines, metadata, command_id=command_id)
        remaining = {one.batch_id: one.quantity for one in goods.goods}
        async with tenant_transaction(shop.reading, caller.tenant) as connection:
            categories = await _categories(connection)
        staff = await shop.directories.names(caller.tenant)
        return _supply(StoredReceipt(goods=goods), remaining, categories, staff)

    return await once.answer(caller, body, received, status=201)


@router.get("/")
async def list_supplies(
    shop: Shop,
    caller: Reader,
    page: Annotated[Slice, by_skip(limit=100, most=100)],
    status: Status | None = None,
) -> Supplies:
    """Supplies, newest first."""
    is_archived = None if status is None else status == "archived"
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await receipt.page(
            connection, "supply", is_archived=is_archived, limit=page.limit, offset=page.offset
        )
        supplies = await _presented(shop, caller.tenant, connection, rows)
    return Supplies(items=supplies, total=total)


@router.get("/{supply_id}")
async def read(shop: Shop, caller: Reader, supply_id: Id) -> SupplyOut:
    """One supply."""
    return await _supply_with(shop, caller.tenant, supply_id)


@router.put("/{supply_id}/archive", dependencies=[ARCHIVED])
async def archive(shop: Shop, caller: Reader, metadata: Authored, supply_id: Id) -> SupplyOut:
    """Archive a supply; its batches stay in stock."""
    await handlers.archive(shop, supply_id, metadata)
    supply = await _supply_with(shop, caller.tenant, supply_id)
    return supply.model_copy(update={"status": "archived"})


async def _supply_with(shop: ApiContext, tenant: str, supply_id: int) -> SupplyOut:
    """Raises SupplyUnknown."""
    async with tenant_transaction(shop.reading, tenant) as connection:
        stored = await receipt.find(connection, "supply", supply_id)
        if stored is None:
            raise SupplyUnknown
        (supply,) = await _presented(shop, tenant, connection, [stored])
    return supply


async def _presented(
    shop: ApiContext, tenant: str, connection: Connection, rows: Sequence[StoredReceipt]
) -> list[SupplyOut]:
    """Supplies with what is left of them: what their batches hold."""
    batches = [one.batch_id for row in rows for one in row.goods.goods]
    remaining = {
        batch_id: stocked.quantity
        for batch_id, stocked in (await item.find(connection, batches)).items()
    }
    categories = await _categories(connection)
    staff = await shop.directories.names(tenant)
    return [_supply(row, remaining, categories, staff) for row in rows]


async def _categories(connection: Connection) -> Categories:
    return {one.category_id: one for one in await category.list_all(connection)}


def _supply(
    row: StoredReceipt,
    remaining: Mapping[int, int],
    categories: Categories,
    staff: Directory,
) -> SupplyOut:
    goods = row.goods
    lines = [
        {
            **asdict(one),
            "id": one.batch_id,
            "supply_id": goods.receipt_id,
            "flower_name": one.variety,
            "purchase_price": one.cost,
            "remaining_quantity": remaining.get(one.batch_id, 0),
            "retail_price": one.price,
            "total_cost": one.cost * one.quantity,
            "category": _known_category(one.category_id, categories),
            "created_at": goods.received_at,
        }
        for one in goods.goods
    ]
    return SupplyOut.model_validate(
        {
            **asdict(goods),
            "id": goods.receipt_id,
            "delivery_date": goods.delivered_at,
            "status": "archived" if row.archived_at else "active",
            "total_cost": sum(one.cost * one.quantity for one in goods.goods),
            "created_at": goods.received_at,
            "created_by": staff_name(staff, goods.received_by),
            "items": lines,
        }
    )


def _known_category(category_id: int | None, categories: Categories) -> CategoryOut | None:
    known = categories.get(category_id or 0)
    return _category(known) if known else None


def _parsed(line: Line, categories: Categories) -> ParsedItem:
    of_name = detect(line.variety, categories.values())
    markup = of_name.markup_percent if of_name else DEFAULT_MARKUP
    return ParsedItem(
        flower_name=line.variety,
        height_cm=line.height_cm,
        purchase_price=float(line.cost),
        quantity=line.quantity,
        category_id=of_name.category_id if of_name else None,
        category_name=of_name.name if of_name else None,
        retail_price=retail_price(line.cost, Decimal(1), markup),
    )


def _category(one: FlowerCategorySet) -> CategoryOut:
    return CategoryOut(
        id=one.category_id,
        name=one.name,
        markup_percentage=float(one.markup_percent),
        keywords=one.keywords,
        created_at=one.created_at,
        updated_at=one.changed_at,
    )
