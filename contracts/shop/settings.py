"""The settings of a shop that its staff edit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

SETTINGS: Final = "shop.settings"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryZone:
    """A part of the city, and the fee of a delivery there in whole tenge."""

    name: str
    price: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    """A shop as its customers see it. `opens_at` and `closes_at` are `HH:MM` in the shop's zone."""

    name: str
    address: str
    email: str
    phones: tuple[str, ...]
    opens_at: str
    closes_at: str
    delivery_zones: tuple[DeliveryZone, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyChanged:
    """The settings of the company were set to `company`."""

    company: Company
    changed_by: str
    changed_at: datetime
