"""Which batches are in stock, with what level, and which of them does an order use?"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    and_,
    func,
    not_,
    select,
)

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    Batch,
    BatchDescribed,
    BatchMovedIn,
    BatchReceived,
    Level,
    ShopEvent,
    StockAdjusted,
    StockId,
    StockReleased,
    StockReserved,
    StockReturned,
    StockWrittenOff,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.filters import Filters, contains, eq
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.upsert import Row, Upsert, put_all, upsert
from libs.projections.projection import Connection, Projection
from services.shop.products.domain import StockedItem
from services.shop.stock.domain.stock import stems_gained

_METADATA: Final = MetaData()
_TYPES: Final[Mapping[Any, Any]] = {
    int: BigInteger,
    str: Text,
    bool: Boolean,
    Decimal: Numeric,
    datetime: DateTime(timezone=True),
}
ITEM: Final = Table(
    "warehouse_item",
    _METADATA,
    Column("tenant", Text, primary_key=True),
    Column("warehouse_item_id", BigInteger, primary_key=True),
    Column("stock_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),
    *(
        Column(one.name, _TYPES[one.type], nullable=False)
        for one in fields(Batch)
        if one.name != "batch_id"
    ),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("updated_by", Text, nullable=False),
)
LEVEL: Final = Table(
    "stock_level",
    _METADATA,
    Column("tenant", Text, primary_key=True),
    Column("warehouse_item_id", BigInteger, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
ALLOCATION: Final = Table(
    "stock_allocation",
    _METADATA,
    Column("tenant", Text, primary_key=True),
    Column("order_id", BigInteger, primary_key=True),
    Column("warehouse_item_id", BigInteger, primary_key=True),
    Column("reserved", BigInteger, nullable=False),
    Column("written_off", BigInteger, nullable=False),
)
# The revision of a batch goes on in another stream, so that the latest event is the newest one
# whichever of its streams is applied first.
SAVE_ITEM: Final = upsert(ITEM, newer="revision")
SAVE_LEVEL: Final = upsert(LEVEL, newer="revision")
ADD_ALLOCATION: Final = upsert(ALLOCATION, add=("reserved", "written_off"))

_Change: TypeAlias = tuple[Upsert, Row]


def projection() -> Projection[ShopEvent]:
    """The projection. No shard key: a batch that was moved has events in two streams."""
    return Projection(
        name="warehouse_item",
        tables=("warehouse_item", "stock_level", "stock_allocation"),
        topics=(shop.STOCK,),
        codec=codec_of(shop.EVENTS),
        project=project,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store descriptions and levels by their revisions, and add up what orders have."""
    await put_all(connection, (change for one in events for change in _changes(one)))


def _changes(envelope: Envelope[ShopEvent]) -> Iterator[_Change]:
    tenant = envelope.tenant
    match event := envelope.event:
        case BatchReceived(received_by=by, received_at=at):
            yield from _described(tenant, event, by, at)
        case BatchDescribed(changed_by=by, changed_at=at):
            yield from _described(tenant, event, by, at)
        case BatchMovedIn(moved_by=by, moved_at=at):
            yield from _described(tenant, event, by, at)
        case StockAdjusted(adjusted_at=at):
            yield _level(tenant, event.batch_id, event.after, at)
        case StockReserved() | StockReleased() | StockWrittenOff() | StockReturned():
            stems = stems_gained(event)
            for one in event.allocations:
                yield _level(tenant, one.batch_id, one.after, envelope.occurred_at)
                gained = (one.quantity * each for each in stems)
                yield ADD_ALLOCATION, (tenant, event.order_id, one.batch_id, *gained)
        case _:
            return


def _described(
    tenant: str, event: BatchReceived | BatchDescribed | BatchMovedIn, by: str, at: datetime
) -> Iterator[_Change]:
    batch_id = event.batch.batch_id
    item = {"warehouse_item_id": batch_id, "stock_id": event.stock_id, **asdict(event.batch)}
    changed = {"revision": event.after.revision, "updated_at": at, "updated_by": by}
    yield SAVE_ITEM, {"tenant": tenant, **item, **changed}
    yield _level(tenant, batch_id, event.after, at)


def _level(tenant: str, batch_id: int, level: Level, at: datetime) -> _Change:
    row = (tenant, batch_id, level.revision, level.quantity, level.reserved, at)
    return SAVE_LEVEL, row


def _same_item(one: Any, other: Any) -> ColumnElement[bool]:
    same = one.c.warehouse_item_id == other.c.warehouse_item_id
    return and_(one.c.tenant == other.c.tenant, same)


_AVAILABLE: Final = LEVEL.c.quantity - LEVEL.c.reserved
_JOINED: Final = ITEM.join(LEVEL, _same_item(ITEM, LEVEL))
_ITEMS: Final = select(
    ITEM,
    LEVEL.c.quantity,
    LEVEL.c.reserved,
    _AVAILABLE.label("available_qty"),
    func.greatest(ITEM.c.updated_at, LEVEL.c.changed_at).label("changed_at"),
).select_from(_JOINED)
_FILTERS: Final = Filters(
    variety=eq(ITEM.c.variety),
    height_cm=eq(ITEM.c.height_cm),
    farm=eq(ITEM.c.farm),
    supplier=eq(ITEM.c.supplier),
    on_showcase=eq(ITEM.c.on_showcase),
    to_write_off=eq(ITEM.c.to_write_off),
    search=contains(ITEM.c.sku, ITEM.c.variety, ITEM.c.batch_code),
)
_LISTED: Final = not_(ITEM.c.hidden)
_FOR_SALE: Final = not_(ITEM.c.to_write_off)


async def page(
    connection: Connection, filters: Mapping[str, Any], *, limit: int, offset: int
) -> tuple[Sequence[query.Row], int]:
    """Items that are not hidden, newest first, and how many there are in all."""
    matching = _ITEMS.where(_LISTED, _FILTERS.where(filters))
    newest = matching.order_by(ITEM.c.created_at.desc(), ITEM.c.warehouse_item_id.desc())
    return await query.fetch_page(connection, newest, limit=limit, offset=offset)


async def find(connection: Connection, ids: Collection[int]) -> Mapping[int, query.Row]:
    """The items with these ids, hidden ones too; unknown ids are left out."""
    rows = await query.fetch(connection, _ITEMS.where(ITEM.c.warehouse_item_id.in_([*ids])))
    return {row["warehouse_item_id"]: row for row in rows}


async def stocked_items(pool: Pool, tenant: str, ids: Collection[int]) -> Mapping[int, StockedItem]:
    """What a product's page shows of items. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        known = await find(connection, ids)
    return {number: query.row_as(StockedItem, row) for number, row in known.items()}


async def available(pool: Pool, tenant: str, ids: Collection[int]) -> Mapping[int, int]:
    """How much an order may take of items: the free quantity of all batches of the same variety
    and height. An item without any is missing. Raises Unavailable."""
    wanted = ITEM.alias()
    number = wanted.c.warehouse_item_id
    same = and_(wanted.c.tenant == ITEM.c.tenant, wanted.c.stock_id == ITEM.c.stock_id)
    statement = (
        select(number, func.sum(_AVAILABLE).label("free"))
        .select_from(_JOINED.join(wanted, same))
        .where(number.in_([*ids]), _LISTED, _FOR_SALE)
        .group_by(number)
    )
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, statement)
    return {row["warehouse_item_id"]: int(row["free"]) for row in rows}


async def stocks_of_order(connection: Connection, order_id: int) -> frozenset[StockId]:
    """The stock items in which an order has stems reserved or written off."""
    has = ALLOCATION.c.reserved + ALLOCATION.c.written_off > 0
    stocks = select(ITEM.c.stock_id).distinct().join(ALLOCATION, _same_item(ALLOCATION, ITEM))
    rows = await query.fetch(connection, stocks.where(ALLOCATION.c.order_id == order_id, has))
    return frozenset(StockId(row["stock_id"]) for row in rows)


async def totals(connection: Connection) -> Mapping[str, Any]:
    """Sums over all items that are not hidden, named as the API names them. Values in tenge."""
    number = func.count()
    value = func.sum(LEVEL.c.quantity * ITEM.c.price).filter(_FOR_SALE)
    critical = and_(_FOR_SALE, ITEM.c.min_quantity > _AVAILABLE)
    sums = select(
        number.filter(_FOR_SALE).label("total_items"),
        func.coalesce(value, 0).label("total_value"),
        number.filter(critical).label("critical_items"),
        number.filter(ITEM.c.on_showcase).label("showcase_items"),
        number.filter(ITEM.c.to_write_off).label("writeoff_items"),
    )
    (row,) = await query.fetch(connection, sums.select_from(_JOINED).where(_LISTED))
    by_variety = await _stems_by(connection, ITEM.c.variety)
    by_supplier = await _stems_by(connection, ITEM.c.supplier)
    return {**row, "by_variety": by_variety, "by_supplier": by_supplier}


async def _stems_by(connection: Connection, column: ColumnElement[str]) -> Mapping[str, int]:
    stems = func.sum(LEVEL.c.quantity).label("stems")
    rows = select(column.label("name"), stems).select_from(_JOINED).where(_LISTED)
    grouped = await query.fetch(connection, rows.group_by(column).order_by(column))
    return {row["name"]: row["stems"] for row in grouped}
