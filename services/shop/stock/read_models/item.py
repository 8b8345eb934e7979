"""Which batches are in stock, with what level, and which of them does an order use?"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, TypeAlias

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
from libs.postgres.query import row_as
from libs.postgres.upsert import Row, Upsert, put_all, upsert
from libs.projections.projection import Connection, Projection
from services.shop.products.domain import StockedItem
from services.shop.stock.domain.stock import stems_gained

_METADATA: Final = MetaData()
ITEM: Final = Table(
    "warehouse_item",
    _METADATA,
    Column("tenant", Text, primary_key=True),
    Column("warehouse_item_id", BigInteger, primary_key=True),
    Column("stock_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("batch_code", Text, nullable=False),
    Column("variety", Text, nullable=False),
    Column("height_cm", Integer, nullable=False),
    Column("farm", Text, nullable=False),
    Column("supplier", Text, nullable=False),
    Column("delivered_at", DateTime(timezone=True), nullable=False),
    Column("currency", Text, nullable=False),
    Column("rate", Numeric, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("markup_percent", Numeric, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("recommended_price", BigInteger, nullable=False),
    Column("min_quantity", Integer, nullable=False),
    Column("on_showcase", Boolean, nullable=False),
    Column("to_write_off", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A batch in stock, as the warehouse lists it."""

    stock_id: StockId
    batch: Batch
    quantity: int
    reserved: int
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemFilter:
    """The values that items must have; None matches all. `search` is in sku, variety or code."""

    variety: str | None = None
    height_cm: int | None = None
    farm: str | None = None
    supplier: str | None = None
    on_showcase: bool | None = None
    to_write_off: bool | None = None
    search: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Sums over the items that are not hidden. The value is in tenge."""

    items: int
    value: int
    critical: int
    on_showcase: int
    to_write_off: int
    by_variety: Mapping[str, int]
    by_supplier: Mapping[str, int]


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
            yield SAVE_LEVEL, _level_row(tenant, event.batch_id, event.after, at)
        case StockReserved() | StockReleased() | StockWrittenOff() | StockReturned():
            reserved, written_off = stems_gained(event)
            for one in event.allocations:
                at = envelope.occurred_at
                yield SAVE_LEVEL, _level_row(tenant, one.batch_id, one.after, at)
                key = (tenant, event.order_id, one.batch_id)
                gained = (reserved * one.quantity, written_off * one.quantity)
                yield ADD_ALLOCATION, (*key, *gained)
        case _:
            return


def _described(
    tenant: str, event: BatchReceived | BatchDescribed | BatchMovedIn, by: str, at: datetime
) -> Iterator[_Change]:
    batch_id = event.batch.batch_id
    item = {
        **asdict(event.batch),
        "tenant": tenant,
        "warehouse_item_id": batch_id,
        "stock_id": event.stock_id,
        "revision": event.after.revision,
        "updated_at": at,
        "updated_by": by,
    }
    yield SAVE_ITEM, item
    yield SAVE_LEVEL, _level_row(tenant, batch_id, event.after, at)


def _level_row(tenant: str, batch_id: int, level: Level, at: datetime) -> Row:
    return tenant, batch_id, level.revision, level.quantity, level.reserved, at


_AVAILABLE: Final = LEVEL.c.quantity - LEVEL.c.reserved
_JOINED: Final = ITEM.join(
    LEVEL,
    and_(LEVEL.c.tenant == ITEM.c.tenant, LEVEL.c.warehouse_item_id == ITEM.c.warehouse_item_id),
)
_ITEMS: Final = select(
    ITEM,
    ITEM.c.warehouse_item_id.label("batch_id"),
    LEVEL.c.quantity,
    LEVEL.c.reserved,
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


async def page(
    connection: Connection, filters: ItemFilter, *, limit: int, offset: int
) -> tuple[Sequence[Item], int]:
    """Items that are not hidden, newest first, and how many there are in all."""
    matching = and_(_LISTED, _FILTERS.where(asdict(filters)))
    newest = (ITEM.c.created_at.desc(), ITEM.c.warehouse_item_id.desc())
    rows = _ITEMS.where(matching).order_by(*newest).limit(limit).offset(offset)
    number = select(func.count()).select_from(ITEM).where(matching)
    items = [_item(row) for row in await query.fetch(connection, rows)]
    return items, await query.fetchval(connection, number)


async def find(connection: Connection, ids: Collection[int]) -> Mapping[int, Item]:
    """The items with these ids, hidden ones too; unknown ids are left out."""
    rows = await query.fetch(connection, _ITEMS.where(ITEM.c.warehouse_item_id.in_([*ids])))
    return {row["batch_id"]: _item(row) for row in rows}


async def stocked_items(pool: Pool, tenant: str, ids: Collection[int]) -> Mapping[int, StockedItem]:
    """What a product's page shows of items. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        known = await find(connection, ids)
    return {
        number: StockedItem(
            variety=one.batch.variety,
            height_cm=one.batch.height_cm,
            supplier=one.batch.supplier,
            farm=one.batch.farm,
            available_qty=one.quantity - one.reserved,
            price=one.batch.price,
        )
        for number, one in known.items()
    }


async def available(pool: Pool, tenant: str, ids: Collection[int]) -> Mapping[int, int]:
    """How much an order may take of items: the free quantity of all batches of the same variety
    and height. An item without any is missing. Raises Unavailable."""
    wanted = ITEM.alias()
    same = and_(wanted.c.tenant == ITEM.c.tenant, wanted.c.stock_id == ITEM.c.stock_id)
    at = and_(
        LEVEL.c.tenant == ITEM.c.tenant, LEVEL.c.warehouse_item_id == ITEM.c.warehouse_item_id
    )
    number, free = wanted.c.warehouse_item_id, func.sum(LEVEL.c.quantity - LEVEL.c.reserved)
    statement = (
        select(number, free.label("free"))
        .join(ITEM, same)
        .join(LEVEL, at)
        .where(number.in_(list(ids)), not_(ITEM.c.hidden), not_(ITEM.c.to_write_off))
        .group_by(number)
    )
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, statement)
    return {row["warehouse_item_id"]: int(row["free"]) for row in rows}


async def stocks_of_order(connection: Connection, order_id: int) -> frozenset[StockId]:
    """The stock items in which an order has stems reserved or written off."""
    has = ALLOCATION.c.reserved + ALLOCATION.c.written_off > 0
    of_order = and_(ALLOCATION.c.order_id == order_id, has)
    same = and_(
        ALLOCATION.c.tenant == ITEM.c.tenant,
        ALLOCATION.c.warehouse_item_id == ITEM.c.warehouse_item_id,
    )
    statement = select(ITEM.c.stock_id).distinct().join(ALLOCATION, same).where(of_order)
    return frozenset(StockId(row["stock_id"]) for row in await query.fetch(connection, statement))


async def totals(connection: Connection) -> Totals:
    """Sums over all items that are not hidden."""
    for_sale = not_(ITEM.c.to_write_off)
    number = func.count()
    value = func.coalesce(func.sum(LEVEL.c.quantity * ITEM.c.price).filter(for_sale), 0)
    critical = and_(for_sale, ITEM.c.min_quantity > _AVAILABLE)
    sums = select(
        number.filter(for_sale).label("items"),
        value.label("value"),
        number.filter(critical).label("critical"),
        number.filter(ITEM.c.on_showcase).label("on_showcase"),
        number.filter(ITEM.c.to_write_off).label("to_write_off"),
    ).select_from(_JOINED)
    row = await query.fetchrow(connection, sums.where(_LISTED))
    if row is None:
        raise AssertionError("a query of sums has one row")
    by_variety = await _stems_by(connection, ITEM.c.variety)
    by_supplier = await _stems_by(connection, ITEM.c.supplier)
    values = {**row, "value": int(row["value"])}
    return Totals(**values, by_variety=by_variety, by_supplier=by_supplier)


async def _stems_by(connection: Connection, column: ColumnElement[str]) -> Mapping[str, int]:
    stems = func.sum(LEVEL.c.quantity).label("stems")
    rows = select(column.label("name"), stems).select_from(_JOINED).where(_LISTED)
    grouped = await query.fetch(connection, rows.group_by(column).order_by(column))
    return {row["name"]: int(row["stems"]) for row in grouped}


def _item(row: query.Row) -> Item:
    return Item(
        stock_id=StockId(row["stock_id"]),
        batch=row_as(Batch, row),
        quantity=row["quantity"],
        reserved=row["reserved"],
        updated_at=row["changed_at"],
        updated_by=row["updated_by"],
    )
