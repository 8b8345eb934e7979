"""The events of the shop, by subject."""

from typing import Final, TypeAlias

from contracts.shop.prices import PRICES, PriceChanged, PriceId
from contracts.shop.settings import SETTINGS, Company, CompanyChanged, DeliveryZone
from contracts.shop.stock import (
    FLOWER_CATEGORIES,
    RECEIPTS,
    STOCK,
    Allocation,
    Batch,
    BatchDescribed,
    BatchMovedIn,
    BatchMovedOut,
    BatchReceived,
    FlowerCategorySet,
    GoodsReceived,
    Level,
    OrderShare,
    ReceivedGoods,
    Reference,
    StockAdjusted,
    StockId,
    StockReleased,
    StockReserved,
    StockReturned,
    StockWrittenOff,
    SupplyArchived,
)

__all__ = [
    "EVENTS",
    "FLOWER_CATEGORIES",
    "PRICES",
    "RECEIPTS",
    "SETTINGS",
    "STOCK",
    "Allocation",
    "Batch",
    "BatchDescribed",
    "BatchMovedIn",
    "BatchMovedOut",
    "BatchReceived",
    "Company",
    "CompanyChanged",
    "DeliveryZone",
    "FlowerCategorySet",
    "GoodsReceived",
    "Level",
    "OrderShare",
    "PriceChanged",
    "PriceId",
    "ReceivedGoods",
    "Reference",
    "ShopEvent",
    "StockAdjusted",
    "StockId",
    "StockReleased",
    "StockReserved",
    "StockReturned",
    "StockWrittenOff",
    "SupplyArchived",
]

ShopEvent: TypeAlias = (
    PriceChanged
    | CompanyChanged
    | BatchReceived
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
    PriceChanged,
    CompanyChanged,
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
