"""Requests about supplies, importing them from text, and categories of flowers (spec shop §4.5)."""

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from libs.errors import BadRequest
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.idempotency import Once, idempotent
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from services.shop.context import (
    WAREHOUSE,
    ApiContext,
    PathId,
    PlainText,
    Shop,
    await_writes,
    in_utc,
)
from services.shop.stock.api.bodies import (
    CategoryOut,
    Markup,
    Name,
    NewSupply,
    SupplyOut,
    Text,
    lines_of,
    present,
)
from services.shop.stock.domain.category import Categories, detect
from services.shop.stock.domain.pricing import DEFAULT_MARKUP, retail_price
from services.shop.stock.domain.receipt import Line, SupplyUnknown
from services.shop.stock.domain.supply_text import parse
from services.shop.stock.handlers import receipt as handlers
from services.shop.stock.read_models import item, receipt
from services.shop.stock.read_models.receipt import Stored

router = APIRouter(prefix="/api/supplies", tags=["supplies"])

Reader = Annotated[Principal, Depends(WAREHOUSE)]
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
RECEIVED: Final = visible("warehouse_item", "stock_movement", "receipt")
ARCHIVED: Final = visible("receipt")


class SupplyEmpty(BadRequest):
    """В поставке должна быть хотя бы одна позиция"""


class NewCategory(BaseModel):
    """A category of flowers; `keywords` are separated by commas."""

    name: Name
    markup_percent: Annotated[Markup, Field(alias="markup_percentage")]
    keywords: Text | None = None


class CategoryUpdate(BaseModel):
    """The fields to replace; absent ones stay."""

    name: Name | None = None
    markup_percent: Annotated[Markup | None, Field(alias="markup_percentage")] = None
    keywords: Text | None = None


class SupplyText(BaseModel):
    """The text of a supply, one line for each flower."""

    text: Annotated[PlainText, Field(max_length=200_000)]
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
    errors: Sequence[str]


@router.get("/categories")
async def list_categories(shop: Shop, caller: Reader) -> list[CategoryOut]:
    """The categories of the caller's shop, by name."""
    known = (await handlers.load_categories(shop, caller.tenant)).values()
    by_name = sorted(known, key=lambda one: (one.name, one.category_id))
    return [CategoryOut.model_validate(asdict(one)) for one in by_name]


@router.post("/categories", status_code=201)
async def add_category(shop: Shop, _: Reader, metadata: Authored, body: NewCategory) -> CategoryOut:
    """Add a category; 400 if its name is taken."""
    event = await handlers.set_category(shop, None, body.model_dump(), metadata)
    return CategoryOut.model_validate(asdict(event))


@router.put("/categories/{category_id}")
async def change_category(
    shop: Shop, _: Reader, metadata: Authored, category_id: PathId, body: CategoryUpdate
) -> CategoryOut:
    """Replace fields of a category; 400 if its name is taken."""
    given = body.model_dump(exclude_unset=True)
    changes = {k: value for k, value in given.items() if value is not None or k == "keywords"}
    event = await handlers.set_category(shop, category_id, changes, metadata)
    return CategoryOut.model_validate(asdict(event))


@router.post("/parse")
async def parse_text(shop: Shop, caller: Reader, body: SupplyText) -> Preview:
    """What a text would import. Nothing is changed."""
    lines, errors = parse(body.text)
    categories = await handlers.load_categories(shop, caller.tenant)
    return Preview(
        supplier=body.supplier,
        items=[_parsed(line, categories) for line in lines],
        total_cost=float(sum(line.cost * line.quantity for line in lines)),
        errors=errors,
    )


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


@router.post("/import", status_code=201, response_model=SupplyOut, dependencies=[RECEIVED])
async def import_supply(
    shop: Shop,
    caller: Reader,
    metadata: Authored,
    body: NewSupply,
    once: Annotated[Once, idempotent("supply")],
) -> Response:
    """Take a supply into stock: each item becomes a batch, all of them or none."""
    if not body.items:
        raise SupplyEmpty
    origin = body.origin(in_utc(body.delivery_date or shop.clock(), shop.settings.zone))

    async def received(command_id: UUID) -> SupplyOut:
        goods = await handlers.receive(
            shop, "supply", origin, lines_of(body.items), metadata, command_id
        )
        held = {one.batch_id: one.quantity for one in goods.goods}
        (supply,) = await _presented(shop, caller.tenant, [(goods, False)], held)
        return supply

    return await once.answer(caller, body, received, status=201)


@router.get("/")
async def list_supplies(
    shop: Shop,
    caller: Reader,
    page: Annotated[Slice, by_skip(limit=100, most=100)],
    status: Literal["active", "archived"] | None = None,
) -> Page[SupplyOut]:
    """Supplies, newest first."""
    is_archived = None if status is None else status == "archived"
    supplies, total = await _stored(shop, caller.tenant, is_archived=is_archived, **asdict(page))
    return Page(items=supplies, total=total)


@router.get("/{supply_id}")
async def read(shop: Shop, caller: Reader, supply_id: PathId) -> SupplyOut:
    """One supply."""
    supplies, _ = await _stored(shop, caller.tenant, receipt_id=supply_id)
    if not supplies:
        raise SupplyUnknown
    return supplies[0]


@router.put("/{supply_id}/archive", dependencies=[ARCHIVED])
async def archive(shop: Shop, caller: Reader, metadata: Authored, supply_id: PathId) -> SupplyOut:
    """Archive a supply; its batches stay in stock."""
    await handlers.archive(shop, supply_id, metadata)
    await await_writes(shop, caller.tenant, "receipt")
    return await read(shop, caller, supply_id)


async def _stored(shop: ApiContext, tenant: str, **part: Any) -> tuple[list[SupplyOut], int]:
    """A part of the supplies, each with what is left of it: what its batches hold."""
    async with tenant_transaction(shop.reading, tenant) as connection:
        stored, total = await receipt.page(connection, kind="supply", **part)
        batches = [line.batch_id for goods, _ in stored for line in goods.goods]
        known = await item.find(connection, batches)
    held = {number: row["quantity"] for number, row in known.items()}
    return await _presented(shop, tenant, stored, held), total


async def _presented(
    shop: ApiContext, tenant: str, stored: Sequence[Stored], held: dict[int, int]
) -> list[SupplyOut]:
    """Supplies, of whose batches `held` stems are in stock."""
    categories = await handlers.load_categories(shop, tenant)
    known = {number: asdict(one) for number, one in categories.items()}
    staff = await shop.directories.names(tenant)
    return [
        present(
            SupplyOut,
            goods,
            staff,
            lines={
                line.batch_id: {
                    "category": known.get(line.category_id or 0),
                    "remaining_quantity": held.get(line.batch_id, 0),
                }
                for line in goods.goods
            },
            status="archived" if is_archived else "active",
        )
        for goods, is_archived in stored
    ]
