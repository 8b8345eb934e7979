"""Currencies by ISO 4217, as its maintenance agency publishes them.

CLDR is no source for this: its decimal places are those of everyday cash, which for IQD, LBP, HUF
and a dozen others are not those of the minor unit.
"""

from iso4217 import Currency


class UnknownCurrency(ValueError):
    """ISO 4217 has no such currency, or none with a minor unit (gold, for example)."""

    def __init__(self) -> None:
        super().__init__("must be a currency of ISO 4217 in capitals, such as EUR or JPY")


def minor_unit_digits(code: str) -> int:
    """Decimal places between a currency's major and minor unit: EUR 2, JPY 0, JOD 3.

    Raises UnknownCurrency.
    """
    try:
        digits = Currency(code).exponent
    except ValueError:
        digits = None
    if digits is None:
        raise UnknownCurrency
    return digits
