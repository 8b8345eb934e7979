"""Prices of flowers from their costs, in whole tenge (spec shop §4.4, §4.5)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

DEFAULT_MARKUP: Final = Decimal(100)
"""The markup of flowers of no category, in percent."""
STEP: Final = 10
"""Retail prices of supplies are multiples of this."""


def recommended_price(cost: Decimal, rate: Decimal, markup_percent: Decimal) -> int:
    """The price of a stem: cost in tenge and the markup, rounded half up."""
    return rounded(cost * rate * (1 + markup_percent / 100))


def retail_price(cost: Decimal, rate: Decimal, markup_percent: Decimal) -> int:
    """The same rounded half up to a multiple of `STEP`, at least one `STEP`."""
    price = cost * rate * (1 + markup_percent / 100)
    return max(rounded(price / STEP), 1) * STEP


def rounded(amount: Decimal) -> int:
    """Whole tenge, half up."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
