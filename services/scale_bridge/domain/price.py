"""Prices as scales write them: in the currency's major units."""

from decimal import Decimal
from typing import Final

_DIGITS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""ISO 4217 where it is not two."""


def major(amount: int, currency: str) -> float:
    """Minor units as a scale writes them: 21950 kopecks are 219.5."""
    return float(Decimal(amount).scaleb(-_DIGITS.get(currency, 2)))
