"""What the shop said an article costs, and what became of that word on one scale."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

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
