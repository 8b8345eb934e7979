"""A price announced by the shop, as scales write it, and whether one scale has taken it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

from contracts.shop import PriceChanged
from libs.currency import minor_unit_digits

Rank: TypeAlias = tuple[datetime, datetime, UUID]
"""The later one wins: by when it is valid, then by when it was announced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopPrice:
    """A price as scales write it, from `valid_at` on; `trace` is what everything it leads to is
    told under."""

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_by: str
    announced_at: datetime
    trace: str

    @property
    def rank(self) -> Rank:
        """Its place among the prices of the article."""
        return self.valid_at, self.announced_at, self.price_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """The last price of the shop that came to a product of a scale, and is in `revision`.

    `overridden` once a person wanted another one.
    """

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_at: datetime
    revision: int
    overridden: bool = False

    @property
    def rank(self) -> Rank:
        """Its place among the prices of the article."""
        return self.valid_at, self.announced_at, self.price_id


def is_due(taken: Taken | None, said: ShopPrice, stored: object) -> bool:
    """Whether something is to be told of a price, for a product that is `stored` with a price.

    The shop's word holds against what a scale was found to show, and gives way to a person's until
    the shop says something new, or the scale shows what the shop said.
    """
    if taken is None:
        return True
    if taken.price_id != said.price_id:
        return said.rank > taken.rank
    return (stored == said.price) is taken.overridden


_MOST: Final = 10**18


def major(amount: int, currency: str) -> float:
    """Minor units as a scale writes them: 21950 kopecks are 219.5. Raises UnknownCurrency."""
    return float(Decimal(amount).scaleb(-minor_unit_digits(currency)))


def shop_price_of(change: PriceChanged, *, trace: str | None = None) -> ShopPrice | None:
    """What the shop said, as scales write it; None if nothing can cost that.

    Raises UnknownCurrency.
    """
    if not (0 <= change.amount < _MOST and 0 < change.article < _MOST):
        return None
    return ShopPrice(
        price_id=change.price_id,
        article=change.article,
        price=major(change.amount, change.currency),
        valid_at=change.valid_at,
        announced_by=change.changed_by,
        announced_at=change.changed_at,
        trace=trace or str(change.price_id),
    )
