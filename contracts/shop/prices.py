"""Prices of articles, which other services need."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType
from uuid import UUID

PRICES: Final = "shop.price"

PriceId = NewType("PriceId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceChanged:
    """The price of an article was changed, valid from `valid_at` on, wherever it is sold.

    `article` is the shop's article code, the `code` of scales. `amount` is in the currency's minor
    units, per piece or per kilogram.
    """

    price_id: PriceId
    article: int
    amount: int
    currency: str
    valid_at: datetime
    changed_by: str
    changed_at: datetime
