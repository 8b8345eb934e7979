"""A price announced by the shop, as scales write it, and the one that a product has taken."""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

from contracts.scale_bridge import PriceTaken
from contracts.shop import PriceChanged
from libs.currency import minor_unit_digits

Rank: TypeAlias = tuple[datetime, datetime, UUID]
"""The order of prices: by the time they are valid from, then by the time of the announcement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """A price of an article as scales write it, in major units, valid from `valid_at` on."""

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_at: datetime

    @property
    def rank(self) -> Rank:
        """Its rank among the prices of the article; the highest applies."""
        return self.valid_at, self.announced_at, self.price_id


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopPrice(Price):
    """A price that the shop announced; `trace` is the correlation id of all events it causes."""

    announced_by: str
    trace: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenPrice(Price):
    """The last price of the shop that a product has taken, in `revision` of the catalogue.

    `overridden` after a person has set another one.
    """

    revision: int
    overridden: bool = False


def taken_price(source: Price | PriceTaken, revision: int) -> TakenPrice:
    """The price as it is taken in a revision."""
    values = {field.name: getattr(source, field.name) for field in fields(Price)}
    return TakenPrice(**values, revision=revision)


def is_due(taken: TakenPrice | None, price: ShopPrice, stored: object) -> bool:
    """Whether a product must take a price; `stored` is the price it has.

    The shop's price takes precedence over the one on the scale. A manual price takes precedence
    over the shop's until the shop announces a new one, or the scale displays the shop's.
    """
    if taken is None:
        return True
    if taken.price_id != price.price_id:
        return price.rank > taken.rank
    return (stored == price.price) is taken.overridden


_MOST: Final = 10**18


def major(amount: int, currency: str) -> float:
    """Minor units as a scale writes them: 21950 kopecks are 219.5. Raises UnknownCurrency."""
    return float(Decimal(amount).scaleb(-minor_unit_digits(currency)))


def shop_price_of(change: PriceChanged, *, trace: str | None = None) -> ShopPrice | None:
    """The announced price as scales write it; None if amount or article are out of range.

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
