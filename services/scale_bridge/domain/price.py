"""Prices as scales write them: in the currency's major units."""

from decimal import Decimal
from typing import Final

from contracts.shop import PriceChanged
from services.scale_bridge.domain.shop_price import ShopPrice

_DIGITS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""ISO 4217 where it is not two."""
_MOST: Final = 10**18


def major(amount: int, currency: str) -> float:
    """Minor units as a scale writes them: 21950 kopecks are 219.5."""
    return float(Decimal(amount).scaleb(-_DIGITS.get(currency, 2)))


def said_of(change: PriceChanged, *, trace: str | None = None) -> ShopPrice | None:
    """What the shop said, as scales write it; None if nothing can cost that."""
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
