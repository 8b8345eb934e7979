"""The events of the shop, by subject."""

from typing import Final, TypeAlias

from contracts.shop import orders
from contracts.shop.orders import (
    ORDERS,
    OrderAddressChanged,
    OrderCancelled,
    OrderCommentAdded,
    OrderCommentChanged,
    OrderCommentRemoved,
    OrderDetails,
    OrderEdited,
    OrderEvent,
    OrderFloristAssigned,
    OrderIssueReported,
    OrderLine,
    OrderLinesChanged,
    OrderNeed,
    OrderPaymentReceived,
    OrderPhotoAdded,
    OrderPhotoRated,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
)
from contracts.shop.prices import PRICES, PriceChanged, PriceId
from contracts.shop.settings import SETTINGS, Company, CompanyChanged, DeliveryZone

__all__ = [
    "EVENTS",
    "ORDERS",
    "PRICES",
    "SETTINGS",
    "Company",
    "CompanyChanged",
    "DeliveryZone",
    "OrderAddressChanged",
    "OrderCancelled",
    "OrderCommentAdded",
    "OrderCommentChanged",
    "OrderCommentRemoved",
    "OrderDetails",
    "OrderEdited",
    "OrderEvent",
    "OrderFloristAssigned",
    "OrderIssueReported",
    "OrderLine",
    "OrderLinesChanged",
    "OrderNeed",
    "OrderPaymentReceived",
    "OrderPhotoAdded",
    "OrderPhotoRated",
    "OrderPlaced",
    "OrderRolledBack",
    "OrderStatusChanged",
    "PriceChanged",
    "PriceId",
    "ShopEvent",
]

ShopEvent: TypeAlias = PriceChanged | CompanyChanged | OrderEvent
EVENTS: Final = (PriceChanged, CompanyChanged, *orders.EVENTS)
