"""The events of the shop, by subject."""

from typing import Final, TypeAlias

from contracts.shop.prices import PRICES, PriceChanged, PriceId
from contracts.shop.products import (
    PRODUCTS,
    Component,
    ComponentsChanged,
    Ingredient,
    IngredientsChanged,
    ProductAdded,
    ProductChanged,
    ProductDetails,
    ProductImage,
    ProductImagesChanged,
    ProductRemoved,
)
from contracts.shop.settings import SETTINGS, Company, CompanyChanged, DeliveryZone

__all__ = [
    "EVENTS",
    "PRICES",
    "PRODUCTS",
    "SETTINGS",
    "Company",
    "CompanyChanged",
    "Component",
    "ComponentsChanged",
    "DeliveryZone",
    "Ingredient",
    "IngredientsChanged",
    "PriceChanged",
    "PriceId",
    "ProductAdded",
    "ProductChanged",
    "ProductDetails",
    "ProductEvent",
    "ProductImage",
    "ProductImagesChanged",
    "ProductRemoved",
    "ShopEvent",
]

ProductEvent: TypeAlias = (
    ProductAdded
    | ProductChanged
    | ProductImagesChanged
    | IngredientsChanged
    | ComponentsChanged
    | ProductRemoved
)
ShopEvent: TypeAlias = PriceChanged | CompanyChanged | ProductEvent
EVENTS: Final = (
    PriceChanged,
    CompanyChanged,
    ProductAdded,
    ProductChanged,
    ProductImagesChanged,
    IngredientsChanged,
    ComponentsChanged,
    ProductRemoved,
)
