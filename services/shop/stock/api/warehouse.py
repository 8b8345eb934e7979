"""Requests about batches in stock and deliveries (spec shop §4.4)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from contracts.shop import Batch, GoodsReceived
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.idempotency import Once, idempotent
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_number, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from services.shop.context import WAREHOUSE, Shop
from services.shop.staff.adapters import Directory
from services.shop.stock.api.bodies import (
    Adjustment,
    Deliveries,
    DeliveryOut,
    ItemOut,
    Items,
    ItemUpdate,
    MovementOut,
    Movements,
    NewDelivery,
    NewItem,
    Stats,
)
from services.shop.stock.api.fields import (
    Id,
    Search,
    in_utc,
    staff_name,
)
from services.shop.stock.domain.commands import ItemUnknown
from services.shop.stock.domain.pricing import recommended_price
from services.shop.stock.domain.receipt import Line, Origin
from services.shop.stock.handlers import item as handlers
from services.shop.stock.handlers import receipt as receipt_handlers
from services.shop.stock.read_models import item as items
from services.shop.stock.read_models import movement, receipt

router = APIRouter(prefix="/api/warehouse", tags=["warehouse"])

Reader = Annotated[Principal, Depends(WAREHOUSE)]
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
OneBatch = Annotated[Once, idempotent("batch")]
OneDelivery = Annotated[Once, idempotent("delivery")]
OneAdjustment = Annotated[Once, idempotent("adjustment")]
VISIBLE: Final = visible("warehouse_item", "stock_movement")
RECEIVED: Final = visible("warehouse_item", "stock_movement", "receipt")
SYSTEM: Final = "system"
"""Who made a movement, if it is not a member of staff."""


async def item_filter(
    variety: Search | None = None,
    height: Annotated[int | None, Query(ge=0, le=10_000, alias="heightCm")] = None,
    farm: Search | None = None,
    supplier: Search | None = None,
    showcase: Annotated[bool | None, Query(alias="onShowcase")] = None,
    write_off: Annotated[bool | None, Query(alias="toWriteOff")] = None,
    search: Search | None = None,
) -> items.ItemFilter:
    """The filters of the list, as the admin names them; an empty text filters nothing."""
    return items.ItemFilter(
        variety=variety or None,
        height_cm=height or None,
        farm=farm or None,
        supplier=supplier or None,
        on_showcase=showcase,
        to_write_off=write_off,
        search=search or None,
    )


@router.get("/")
async def list_items(
    shop: Shop,
    caller: Reader,
    filters: Annotated[items.ItemFilter, Depends(item_filter)],
    page: Annotated[Slice, by_number(limit=20, most=100)],
) -> Items:
    """Batches that are not hidden, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        found, total = await items.page(connection, filters, limit=page.limit, offset=page.offset)
    return Items(items=[_item(one) for one in found], total=total)


@router.post("/", status_code=201, response_model=ItemOut, dependencies=[VISIBLE])
async def create(
    shop: Shop, caller: Reader, metadata: Authored, body: NewItem, once: OneBatch
) -> Response:
    """Take a batch into stock by hand; 409 if its sku is taken."""
    recommended = recommended_price(body.cost, body.rate, body.markup_pct)
    own = {"qty", "delivery_date", "markup_pct", "price"}
    batch = Batch(
        batch_id=0,
        **body.model_dump(exclude=own),
        delivered_at=in_utc(body.delivery_date, shop.settings.zone),
        markup_percent=body.markup_pct,
        price=recommended if body.price is None else body.price,
        recommended_price=recommended,
        created_at=shop.clock(),
    )

    async def received(command_id: UUID) -> ItemOut:
        return _item(await handlers.receive(shop, batch, body.qty, metadata, command_id=command_id))

    return await once.answer(caller, body, received, status=201)


@router.get("/stats")
async def stats(shop: Shop, caller: Reader) -> Stats:
    """Sums over the batches that are not hidden."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        totals = await items.totals(connection)
    return Stats(
        total_items=totals.items,
        total_value=totals.value,
        critical_items=totals.critical,
        showcase_items=totals.on_showcase,
        writeoff_items=totals.to_write_off,
        by_variety=dict(totals.by_variety),
        by_supplier=dict(totals.by_supplier),
    )


@router.post("/deliveries", status_code=201, response_model=DeliveryOut, dependencies=[RECEIVED])
async def receive(
    shop: Shop, caller: Reader, metadata: Authored, body: NewDelivery, once: OneDelivery
) -> Response:
    """Take a delivery into stock: each position becomes a batch, all of them or none."""
    delivered_at = in_utc(body.delivery_date, shop.settings.zone)
    given = body.model_dump(exclude={"delivery_date", "positions"})
    origin = Origin(**given, delivered_at=delivered_at)
    lines = [
        Line(
            variety=one.variety,
            height_cm=one.height_cm,
            quantity=one.qty,
            cost=one.cost_per_stem,
        )
        for one in body.positions
    ]

    async def received(command_id: UUID) -> DeliveryOut:
        goods = await receipt_handlers.receive_delivery(
            shop, origin, lines, metadata, command_id=command_id
        )
        return _delivery(goods, await shop.directories.names(caller.tenant))

    return await once.answer(caller, body, received, status=201)


@router.get("/deliveries")
async def deliveries(
    shop: Shop, caller: Reader, page: Annotated[Slice, by_skip(limit=20, most=100)]
) -> Deliveries:
    """Deliveries, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        found, total = await receipt.page(
            connection, "delivery", limit=page.limit, offset=page.offset
        )
    staff = await shop.directories.names(caller.tenant)
    return Deliveries(items=[_delivery(one.goods, staff) for one in found], total=total)


@router.get("/{item_id}")
async def read(shop: Shop, caller: Reader, item_id: Id) -> ItemOut:
    """One batch, also a hidden one."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        found = await items.find(connection, [item_id])
    if item_id not in found:
        raise ItemUnknown
    return _item(found[item_id])


@router.patch("/{item_id}", dependencies=[VISIBLE])
async def change(
    shop: Shop, caller: Reader, metadata: Authored, item_id: Id, body: ItemUpdate
) -> ItemOut:
    """Replace fields of a batch; another quantity is a movement."""
    return _item(await handlers.change(shop, item_id, body.changes(), body.qty, metadata))


@router.get("/{item_id}/movements")
async def movements(
    shop: Shop,
    caller: Reader,
    item_id: Id,
    page: Annotated[Slice, by_skip(limit=50, most=100)],
) -> Movements:
    """What came into a batch and left it, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        if item_id not in await items.find(connection, [item_id]):
            raise ItemUnknown
        rows, total = await movement.page(connection, item_id, limit=page.limit, offset=page.offset)
    staff = await shop.directories.names(caller.tenant)
    return Movements(items=[_movement(dict(row), staff) for row in rows], total=total)


@router.post("/{item_id}/adjust-stock", response_model=MovementOut, dependencies=[VISIBLE])
async def adjust(
    shop: Shop,
    caller: Reader,
    metadata: Authored,
    item_id: Id,
    body: Adjustment,
    once: OneAdjustment,
) -> Response:
    """Correct a quantity; 400 if more would be taken than is available."""

    async def adjusted(command_id: UUID) -> MovementOut:
        event = await handlers.adjust(
            shop, item_id, body.adjustment, body.reason, metadata, command_id=command_id
        )
        (row,) = movement.rows_of(caller.tenant, event)
        return _movement(row, await shop.directories.names(caller.tenant))

    return await once.answer(caller, {"item": item_id, **body.model_dump()}, adjusted)


def _item(item: items.Item) -> ItemOut:
    batch, available = item.batch, item.quantity - item.reserved
    return ItemOut.model_validate(
        {
            **asdict(batch),
            "id": batch.batch_id,
            "delivery_date": batch.delivered_at,
            "markup_pct": batch.markup_percent,
            "qty": item.quantity,
            "quantity": item.quantity,
            "reserved_qty": item.reserved,
            "available_qty": available,
            "is_critical_stock": available < batch.min_quantity and not batch.to_write_off,
            "updated_at": item.updated_at,
            "updated_by": item.updated_by or None,
        }
    )


def _movement(row: Mapping[str, Any], staff: Directory) -> MovementOut:
    return MovementOut.model_validate(
        {
            "reference_id": None,
            **row,
            "id": row["revision"],
            "created_by": staff_name(staff, row["created_by"]) or SYSTEM,
            "qty_before": row["quantity_before"],
            "qty_after": row["quantity_after"],
        }
    )


def _delivery(goods: GoodsReceived, staff: Directory) -> DeliveryOut:
    positions = [
        {
            **asdict(one),
            "id": one.batch_id,
            "delivery_id": goods.receipt_id,
            "qty": one.quantity,
            "cost_per_stem": one.cost,
            "total_cost": one.cost * one.quantity,
        }
        for one in goods.goods
    ]
    return DeliveryOut.model_validate(
        {
            **asdict(goods),
            "id": goods.receipt_id,
            "delivery_date": goods.delivered_at,
            "cost_total": sum(one.cost * one.quantity for one in goods.goods),
            "created_at": goods.received_at,
            "created_by": staff_name(staff, goods.received_by),
            "positions": positions,
        }
    )
