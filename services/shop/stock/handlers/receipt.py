"""Commands about goods that come in, and the categories by which they are priced."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from contracts.shop import FlowerCategorySet, GoodsReceived, ShopEvent, StockId
from libs.eventsourcing.execute import execute
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import NO_STREAM, Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext
from services.shop.stock.domain import category
from services.shop.stock.domain.category import CATEGORIES, AddCategory, Categories, ChangeCategory
from services.shop.stock.domain.commands import NewBatch, Receive
from services.shop.stock.domain.receipt import (
    RECEIPT,
    ArchiveSupply,
    Line,
    Origin,
    Receipt,
    Registration,
    delivery,
    supply,
)
from services.shop.stock.domain.stock import stock_id_of
from services.shop.stock.handlers.item import ITEM_IDS, Events, receiving

RECEIPT_IDS: Final = Numbers("receipt_ids")
CATEGORY_IDS: Final = Numbers("flower_category_ids")


async def receive_delivery(
    context: ApiContext,
    origin: Origin,
    lines: Sequence[Line],
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> GoodsReceived:
    """Take a delivery into stock, all of it or nothing. Raises SkuTaken, LogUnavailable."""
    registration = await _registration(context, lines, origin.delivered_at, metadata)
    receipt = delivery(origin, lines, registration)
    return await _received(context, receipt, metadata, command_id)


async def receive_supply(
    context: ApiContext,
    origin: Origin,
    lines: Sequence[Line],
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> GoodsReceived:
    """Take a supply into stock, all of it or nothing. Raises SkuTaken, LogUnavailable."""
    registration = await _registration(context, lines, context.clock(), metadata)
    categories = await load_categories(context, metadata.tenant)
    receipt = supply(origin, lines, registration, categories)
    return await _received(context, receipt, metadata, command_id)


async def archive(context: ApiContext, receipt_id: int, metadata: Metadata) -> None:
    """Archive a supply. Raises SupplyUnknown, LogUnavailable."""
    command = ArchiveSupply(by=metadata.actor or "", now=context.clock())
    await execute(context.store, RECEIPT, receipt_id, command, metadata=metadata)


async def load_categories(context: ApiContext, tenant: str) -> Categories:
    """The categories of a shop, by the log. Raises LogUnavailable."""
    history = await context.store.read(tenant, CATEGORIES.stream(category.ID))
    return CATEGORIES.state_after(history.events)


async def add_category(
    context: ApiContext,
    name: str,
    markup_percent: Decimal,
    keywords: str | None,
    metadata: Metadata,
) -> FlowerCategorySet:
    """Add a category of flowers. Raises CategoryNameTaken, LogUnavailable."""
    command = AddCategory(
        category_id=await CATEGORY_IDS.next(context.system),
        name=name,
        markup_percent=markup_percent,
        keywords=keywords,
        by=metadata.actor or "",
        now=context.clock(),
    )
    return await _set_category(context, command, metadata)


async def change_category(
    context: ApiContext, category_id: int, changes: Mapping[str, Any], metadata: Metadata
) -> FlowerCategorySet:
    """Change fields of a category. Raises CategoryUnknown, CategoryNameTaken, LogUnavailable."""
    command = ChangeCategory(
        category_id=category_id,
        changes=changes,
        by=metadata.actor or "",
        now=context.clock(),
    )
    return await _set_category(context, command, metadata)


async def _set_category(
    context: ApiContext, command: AddCategory | ChangeCategory, metadata: Metadata
) -> FlowerCategorySet:
    executed = await execute(context.store, CATEGORIES, category.ID, command, metadata=metadata)
    for event in executed.events:
        if isinstance(event, FlowerCategorySet):
            return event
    return (await load_categories(context, metadata.tenant))[command.category_id]


async def _registration(
    context: ApiContext, lines: Sequence[Line], of: datetime, metadata: Metadata
) -> Registration:
    """New ids; the codes are of the shop's day at the moment `of`."""
    return Registration(
        receipt_id=await RECEIPT_IDS.next(context.system),
        batch_ids=await ITEM_IDS.several(context.system, len(lines)),
        day=of.astimezone(context.settings.zone).date(),
        by=metadata.actor or "",
        now=context.clock(),
    )


async def _received(
    context: ApiContext, receipt: Receipt, metadata: Metadata, command_id: UUID | None
) -> GoodsReceived:
    """Append the receipt with its batches, which are of several stock items."""
    event = receipt.event
    aggregates, decide_stock = receiving(_commands(event, receipt.batches))
    stream = RECEIPT.stream(event.receipt_id)

    def decide(states: States) -> Events:
        return {stream: [event], **decide_stock(states)}

    executed = await execute_many(
        context.store,
        [(RECEIPT, event.receipt_id), *aggregates],
        decide,
        metadata=metadata,
        expected={stream: NO_STREAM},
        command_id=command_id,
    )
    events: list[ShopEvent] = [one for new in executed.events.values() for one in new]
    return next(one for one in events if isinstance(one, GoodsReceived))


def _commands(event: GoodsReceived, batches: Sequence[NewBatch]) -> Mapping[StockId, Receive]:
    by_stock: dict[StockId, list[NewBatch]] = defaultdict(list)
    for new in batches:
        by_stock[stock_id_of(new.batch.variety, new.batch.height_cm)].append(new)
    kind: Literal["delivery", "supply"] = event.kind
    return {
        stock_id: Receive(
            batches=tuple(new),
            reference_type=kind,
            reference_id=event.receipt_id,
            by=event.received_by,
            now=event.received_at,
        )
        for stock_id, new in by_stock.items()
    }
