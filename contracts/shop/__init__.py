"""The events of the shop, by subject."""

from typing import Final, TypeAlias

from contracts.shop.prices import PRICES, PriceChanged, PriceId
from contracts.shop.settings import SETTINGS, Company, CompanyChanged, DeliveryZone

__all__ = [
    "EVENTS",
    "PRICES",
    "SETTINGS",
    "Company",
    "CompanyChanged",
    "DeliveryZone",
    "PriceChanged",
    "PriceId",
    "ShopEvent",
]

ShopEvent: TypeAlias = PriceChanged | CompanyChanged
EVENTS: Final = (PriceChanged, CompanyChanged)
