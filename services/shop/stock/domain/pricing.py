"""Prices of flowers from their costs, in whole tenge (spec shop §4.4, §4.5)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

DEFAULT_MARKUP: Final = Decimal(100)
"""The markup of flowers of no category, in percent."""


def recommended_price(cost: Decimal, rate: Decimal, markup_percent: Decimal, step: int = 1) -> int:
    """The price of a stem: its cost and the markup, rounded half up to a multiple of `step`."""
    price = cost * rate * (1 + markup_percent / 100)
    return int((price / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def retail_price(cost: Decimal, rate: Decimal, markup_percent: Decimal) -> int:
    """The price of a stem of a supply: a multiple of 10, never 0."""
    return max(recommended_price(cost, rate, markup_percent, step=10), 10)
