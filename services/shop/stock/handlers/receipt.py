"""Commands about goods that come in, and the categories by which they are priced."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from contracts.shop import FlowerCategorySet, GoodsReceived
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, authorship
from services.shop.stock.domain import receipt
from services.shop.stock.domain.category import CATEGORIES, ID, Categories, SetCategory
from services.shop.stock.domain.receipt import ArchiveSupply, Kind, Line, Origin, ReceiveGoods
from services.shop.stock.handlers import item

RECEIPT_IDS: Final = Numbers("receipt_ids")
CATEGORY_IDS: Final = Numbers("flower_category_ids")


async def receive(
    context: ApiContext,
    kind: Kind,
    origin: Origin,
    lines: Sequence[Line],
    metadata: Metadata,
    command_id: UUID,
) -> GoodsReceived:
    """Take goods into stock, all or nothing. Safe to repeat. Raises SkuTaken, LogUnavailable."""
    is_supply, author = kind == "supply", authorship(context, metadata)
    came_in = author["now"] if is_supply else origin.delivered_at
    command = ReceiveGoods(
        kind=kind,
        origin=origin,
        lines=lines,
        receipt_id=await RECEIPT_IDS.next(context.system),
        batch_ids=await item.ITEM_IDS.several(context.system, len(lines)),
        day=came_in.astimezone(context.settings.zone).date(),
        categories=await load_categories(context, metadata.tenant) if is_supply else {},
        **author,
    )
    goods, batches = receipt.receive(command)
    events = await item.receive(context, batches, metadata, command_id, goods)
    return next(event for event in events if isinstance(event, GoodsReceived))


async def archive(context: ApiContext, receipt_id: int, metadata: Metadata) -> None:
    """Archive a supply. Raises SupplyUnknown, LogUnavailable."""
    command = ArchiveSupply(receipt_id=receipt_id, **authorship(context, metadata))
    await execute(context.store, receipt.RECEIPT, receipt_id, command, metadata=metadata)


async def load_categories(context: ApiContext, tenant: str) -> Categories:
    """The categories of a shop, by the log. Raises LogUnavailable."""
    history = await context.store.read(tenant, CATEGORIES.stream(ID))
    return CATEGORIES.state_after(history.events)


async def set_category(
    context: ApiContext, category_id: int | None, changes: Mapping[str, Any], metadata: Metadata
) -> FlowerCategorySet:
    """Change fields of a category, or add one if it has no id yet.

    Raises CategoryUnknown, CategoryNameTaken, LogUnavailable.
    """
    number = category_id or await CATEGORY_IDS.next(context.system)
    is_new, author = category_id is None, authorship(context, metadata)
    command = SetCategory(category_id=number, changes=changes, is_new=is_new, **author)
    await execute(context.store, CATEGORIES, ID, command, metadata=metadata)
    return (await load_categories(context, metadata.tenant))[number]
