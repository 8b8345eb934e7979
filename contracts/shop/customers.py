"""Customers of a shop.

What names a person (phone, name, addresses, dates, notes) is one sealed JSON text under the key of
the subject `customer-<customer_id>`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from contracts.envelope import Sealed

CUSTOMERS: Final = "shop.customer"


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerRegistered:
    """A customer was registered. `source` is where from: `website`, `walkin`, `phone`, …"""

    customer_id: int
    person: Sealed
    source: str | None
    registered_by: str
    registered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerChanged:
    """The record of a customer was replaced by `person` and `source`."""

    customer_id: int
    person: Sealed
    source: str | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomersMerged:
    """Another record turned out to be this customer, whose record is `person` now.

    `merged` are all records that were merged into it until now: their orders are this customer's.
    """

    customer_id: int
    merged: tuple[int, ...]
    person: Sealed
    merged_by: str
    merged_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerMergedAway:
    """This record was merged into another one, and is no customer any more."""

    customer_id: int
    into: int
    merged_by: str
    merged_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerForgotten:
    """A customer is forgotten: services that store texts of the person delete them.

    The keys of this customer, of the records `merged` into it, and of all these `orders` are
    destroyed right after. Repeated with more orders if one was placed at the same time.
    """

    customer_id: int
    merged: tuple[int, ...]
    orders: tuple[int, ...]
    forgotten_by: str
    forgotten_at: datetime


CustomerEvent: TypeAlias = (
    CustomerRegistered | CustomerChanged | CustomersMerged | CustomerMergedAway | CustomerForgotten
)
EVENTS: Final = (
    CustomerRegistered,
    CustomerChanged,
    CustomersMerged,
    CustomerMergedAway,
    CustomerForgotten,
)
