"""The events of the shop, by subject."""

from typing import Final, TypeAlias

from contracts.claims import ClaimEvent, KeyClaimed, KeyReleased
from contracts.shop import customers, orders
from contracts.shop.customers import (
    CUSTOMERS,
    CustomerChanged,
    CustomerEvent,
    CustomerMergedAway,
    CustomerRegistered,
    CustomersMerged,
)
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
    "CUSTOMERS",
    "EVENTS",
    "ORDERS",
    "PRICES",
    "SETTINGS",
    "ClaimEvent",
    "Company",
    "CompanyChanged",
    "CustomerChanged",
    "CustomerEvent",
    "CustomerMergedAway",
    "CustomerRegistered",
    "CustomersMerged",
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

ShopEvent: TypeAlias = PriceChanged | CompanyChanged | CustomerEvent | OrderEvent | ClaimEvent
EVENTS: Final = (
    PriceChanged,
    CompanyChanged,
    *customers.EVENTS,
    *orders.EVENTS,
    KeyClaimed,
    KeyReleased,
)
