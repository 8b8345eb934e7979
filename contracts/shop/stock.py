"""The stock of a shop: batches of flowers, and what orders reserve and take of them.

A stock item is a variety of one height. Its stream holds all its batches, which the admin calls
warehouse items. Quantities are in stems, prices in whole tenge, costs in the batch's currency.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, NewType, TypeAlias
from uuid import UUID

STOCK: Final = "shop.stock"
RECEIPTS: Final = "shop.receipt"
FLOWER_CATEGORIES: Final = "shop.flower"

StockId = NewType("StockId", UUID)

Reference: TypeAlias = Literal["delivery", "supply", "manual"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The description of a batch. `cost` is per stem, `rate` tenge per unit of `currency`.

    Less than `min_quantity` available stems are critical. Only batches that are neither `hidden`
    nor `to_write_off` are reserved for orders.
    """

    batch_id: int
    sku: str
    batch_code: str
    variety: str
    height_cm: int
    farm: str
    supplier: str
    delivered_at: datetime
    currency: str
    rate: Decimal
    cost: Decimal
    markup_percent: Decimal
    price: int
    recommended_price: int
    created_at: datetime
    min_quantity: int = 15
    on_showcase: bool = False
    to_write_off: bool = False
    hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """What a batch holds after an event: stems in stock, and how many of these are reserved.

    `revision` counts the events of the batch, in whatever stream, this one included.
    """

    quantity: int
    reserved: int
    revision: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """A part of the goods of an order that comes from one batch."""

    batch_id: int
    quantity: int
    after: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderShare:
    """What an order has of a batch: stems reserved, and stems written off."""

    order_id: int
    reserved: int
    written_off: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReceived:
    """A batch came in with `after.quantity` stems, by a delivery or supply, or by hand."""

    stock_id: StockId
    batch: Batch
    after: Level
    reference_type: Reference
    reference_id: int | None
    received_by: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchDescribed:
    """The description of a batch was changed to `batch`."""

    stock_id: StockId
    batch: Batch
    after: Level
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchMovedOut:
    """A batch became one of another variety or height; it continues in that stream."""

    batch_id: int
    to: StockId
    moved_by: str
    moved_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchMovedIn:
    """A batch was of another variety or height before; it comes with the shares of orders."""

    stock_id: StockId
    batch: Batch
    after: Level
    shares: tuple[OrderShare, ...]
    moved_by: str
    moved_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StockReserved:
    """Stems were reserved for an order."""

    order_id: int
    allocations: tuple[Allocation, ...]
    reserved_by: str
    reserved_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StockReleased:
    """Stems that were reserved for an order are available again."""

    order_id: int
    allocations: tuple[Allocation, ...]
    released_by: str
    released_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StockWrittenOff:
    """Stems that were reserved for an order left the shop with it."""

    order_id: int
    allocations: tuple[Allocation, ...]
    written_off_by: str
    written_off_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StockReturned:
    """Stems that were written off for an order are in stock again.

    With `is_reserved` they are reserved for the order as before, otherwise available.
    """

    order_id: int
    allocations: tuple[Allocation, ...]
    is_reserved: bool
    returned_by: str
    returned_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StockAdjusted:
    """The quantity of a batch was corrected by `change`; with `is_count`, by a new count."""

    batch_id: int
    change: int
    after: Level
    reason: str
    is_count: bool
    adjusted_by: str
    adjusted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedGoods:
    """One line of a receipt, which became the batch `batch_id`. `cost` is per stem."""

    batch_id: int
    variety: str
    height_cm: int
    quantity: int
    cost: Decimal
    price: int
    category_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodsReceived:
    """Goods of a supplier came in: a delivery with positions, or an imported supply."""

    receipt_id: int
    kind: Literal["delivery", "supply"]
    supplier: str
    farm: str | None
    delivered_at: datetime
    currency: str
    rate: Decimal
    notes: str | None
    comment: str | None
    goods: tuple[ReceivedGoods, ...]
    received_by: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SupplyArchived:
    """A supply was archived."""

    receipt_id: int
    archived_by: str
    archived_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowerCategorySet:
    """A category of flowers was added or changed. `keywords` are separated by commas.

    Flowers whose name contains a keyword are sold for their cost and `markup_percent` of it.
    """

    category_id: int
    name: str
    markup_percent: Decimal
    keywords: str | None
    created_at: datetime
    changed_by: str
    changed_at: datetime


StockEvent: TypeAlias = (
    BatchReceived
    | BatchDescribed
    | BatchMovedOut
    | BatchMovedIn
    | StockReserved
    | StockReleased
    | StockWrittenOff
    | StockReturned
    | StockAdjusted
    | GoodsReceived
    | SupplyArchived
    | FlowerCategorySet
)
EVENTS: Final = (
    BatchReceived,
    BatchDescribed,
    BatchMovedOut,
    BatchMovedIn,
    StockReserved,
    StockReleased,
    StockWrittenOff,
    StockReturned,
    StockAdjusted,
    GoodsReceived,
    SupplyArchived,
    FlowerCategorySet,
)
