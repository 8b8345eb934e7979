"""Prices as scales write them: in the currency's major units."""

from decimal import Decimal
from typing import Final

from contracts.shop import PriceChanged
from libs.currency import minor_unit_digits
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice

_MOST: Final = 10**18


def major(amount: int, currency: str) -> float:
    """Minor units as a scale writes them: 21950 kopecks are 219.5. Raises UnknownCurrency."""
    return float(Decimal(amount).scaleb(-minor_unit_digits(currency)))


def said_of(change: PriceChanged, *, trace: str | None = None) -> ShopPrice | None:
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
