"""Requests about batches in stock and deliveries (spec shop §4.4)."""

from dataclasses import asdict
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from contracts.shop import Batch, BatchReceived
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.idempotency import Once, idempotent
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_number, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from services.shop.context import WAREHOUSE, ApiContext, PathId, Shop, await_writes, in_utc
from services.shop.stock.api.bodies import (
    Adjustment,
    DeliveryOut,
    ItemFilter,
    ItemOut,
    ItemUpdate,
    MovementOut,
    NewDelivery,
    NewItem,
    Stats,
    lines_of,
    present,
    staff_name,
)
from services.shop.stock.domain.commands import ItemUnknown, NewBatch
from services.shop.stock.domain.pricing import recommended_price
from services.shop.stock.handlers import item as handlers
from services.shop.stock.handlers import receipt as receipt_handlers
from services.shop.stock.read_models import item as items
from services.shop.stock.read_models import movement, receipt

router = APIRouter(prefix="/api/warehouse", tags=["warehouse"])

Reader = Annotated[Principal, Depends(WAREHOUSE)]
Authored = Annotated[Metadata, metadata_of(WAREHOUSE)]
VISIBLE: Final = visible("warehouse_item", "stock_movement")
RECEIVED: Final = visible("warehouse_item", "stock_movement", "receipt")
SYSTEM: Final = "system"
"""Who made a movement, if it is not a member of staff."""


@router.get("/")
async def list_items(
    shop: Shop,
    caller: Reader,
    filters: Annotated[ItemFilter, Query()],
    page: Annotated[Slice, by_number(limit=20, most=100)],
) -> Page[ItemOut]:
    """Batches that are not hidden, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await items.page(connection, filters.values(), **asdict(page))
    return Page(items=[ItemOut.model_validate(dict(row)) for row in rows], total=total)


@router.post("/", status_code=201, response_model=ItemOut, dependencies=[VISIBLE])
async def create(
    shop: Shop,
    caller: Reader,
    metadata: Authored,
    body: NewItem,
    once: Annotated[Once, idempotent("batch")],
) -> Response:
    """Take a batch into stock by hand; 409 if its sku is taken."""
    recommended = recommended_price(body.cost, body.rate, body.markup_pct)
    batch = Batch(
        batch_id=await handlers.ITEM_IDS.next(shop.system),
        **body.model_dump(exclude={"qty", "delivery_date", "markup_pct", "price"}),
        delivered_at=in_utc(body.delivery_date, shop.settings.zone),
        markup_percent=body.markup_pct,
        price=recommended if body.price is None else body.price,
        recommended_price=recommended,
        created_at=shop.clock(),
    )

    async def received(command_id: UUID) -> ItemOut:
        new = [NewBatch(batch=batch, quantity=body.qty)]
        events = await handlers.receive(shop, new, metadata, command_id)
        (event,) = [one for one in events if isinstance(one, BatchReceived)]
        author = {"changed_at": event.received_at, "updated_by": event.received_by}
        return ItemOut.model_validate({**asdict(event.batch), **asdict(event.after), **author})

    return await once.answer(caller, body, received, status=201)


@router.get("/stats")
async def stats(shop: Shop, caller: Reader) -> Stats:
    """Sums over the batches that are not hidden."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return Stats.model_validate(await items.totals(connection))


@router.post("/deliveries", status_code=201, response_model=DeliveryOut, dependencies=[RECEIVED])
async def receive(
    shop: Shop,
    caller: Reader,
    metadata: Authored,
    body: NewDelivery,
    once: Annotated[Once, idempotent("delivery")],
) -> Response:
    """Take a delivery into stock: each position becomes a batch, all of them or none."""
    origin = body.origin(in_utc(body.delivery_date, shop.settings.zone))

    async def received(command_id: UUID) -> DeliveryOut:
        goods = await receipt_handlers.receive(
            shop, "delivery", origin, lines_of(body.positions), metadata, command_id
        )
        return present(DeliveryOut, goods, await shop.directories.names(caller.tenant))

    return await once.answer(caller, body, received, status=201)


@router.get("/deliveries")
async def deliveries(
    shop: Shop, caller: Reader, page: Annotated[Slice, by_skip(limit=20, most=100)]
) -> Page[DeliveryOut]:
    """Deliveries, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        stored, total = await receipt.page(connection, kind="delivery", **asdict(page))
    staff = await shop.directories.names(caller.tenant)
    return Page(items=[present(DeliveryOut, goods, staff) for goods, _ in stored], total=total)


@router.get("/{item_id}")
async def read(shop: Shop, caller: Reader, item_id: PathId) -> ItemOut:
    """One batch, also a hidden one."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        found = await items.find(connection, [item_id])
    if item_id not in found:
        raise ItemUnknown
    return ItemOut.model_validate(dict(found[item_id]))


@router.patch("/{item_id}", dependencies=[VISIBLE])
async def change(
    shop: Shop, caller: Reader, metadata: Authored, item_id: PathId, body: ItemUpdate
) -> ItemOut:
    """Replace fields of a batch; another quantity is a movement."""
    changes = body.model_dump(exclude_none=True, exclude={"qty"})
    await handlers.change(shop, item_id, changes, body.qty, metadata)
    await await_writes(shop, caller.tenant, "warehouse_item")
    return await read(shop, caller, item_id)


@router.get("/{item_id}/movements")
async def movements(
    shop: Shop, caller: Reader, item_id: PathId, page: Annotated[Slice, by_skip(limit=50, most=100)]
) -> Page[MovementOut]:
    """What came into a batch and left it, newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        if item_id not in await items.find(connection, [item_id]):
            raise ItemUnknown
        rows, total = await movement.page(connection, item_id, **asdict(page))
    shown = [await _movement(shop, caller.tenant, dict(row)) for row in rows]
    return Page(items=shown, total=total)


@router.post("/{item_id}/adjust-stock", response_model=MovementOut, dependencies=[VISIBLE])
async def adjust(
    shop: Shop,
    caller: Reader,
    metadata: Authored,
    item_id: PathId,
    body: Adjustment,
    once: Annotated[Once, idempotent("adjustment")],
) -> Response:
    """Correct a quantity; 400 if more would be taken than is available."""

    async def adjusted(command_id: UUID) -> MovementOut:
        event = await handlers.adjust(
            shop, item_id, body.adjustment, body.reason, metadata, command_id
        )
        (row,) = movement.rows_of(event)
        return await _movement(shop, caller.tenant, row)

    return await once.answer(caller, {"item": item_id, **body.model_dump()}, adjusted)


async def _movement(shop: ApiContext, tenant: str, row: dict[str, Any]) -> MovementOut:
    name = staff_name(await shop.directories.names(tenant), row["created_by"])
    return MovementOut.model_validate({**row, "created_by": name or SYSTEM})
