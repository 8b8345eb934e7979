"""EAN-13 of variable measure: labels that a shop prints, with a weight, a price or a count.

Prefixes 02 and 20 to 29 are for use inside a company, which divides the other digits by a rule of
its own. The measure may have a check digit of its own (GS1 General Specifications, 7.9).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from libs.barcodes.faults import BadRule, DoesNotFit, WrongCheckDigit
from libs.barcodes.gtin import check_digit, is_digits

LENGTH: Final = 13
PREFIXES: Final = ("02", *(str(number) for number in range(20, 30)))
CHECKED_DIGITS: Final = (4, 5)
"""The number of digits of a measure that may have a check digit of its own."""

# Weighted values of the digits 0 to 9 in the check digit of a measure: 2-, 3, 5+ and 5- of 7.9.
_TWO_MINUS: Final = (0, 2, 4, 6, 8, 9, 1, 3, 5, 7)
_THREE: Final = (0, 3, 6, 9, 2, 5, 8, 1, 4, 7)
_FIVE_PLUS: Final = (0, 5, 1, 6, 2, 7, 3, 8, 4, 9)
_FIVE_MINUS: Final = (0, 5, 9, 4, 8, 3, 7, 2, 6, 1)
_OF_FOUR: Final = (_TWO_MINUS, _TWO_MINUS, _THREE, _FIVE_MINUS)
_OF_FIVE: Final = (_FIVE_PLUS, _TWO_MINUS, _FIVE_MINUS, _FIVE_PLUS, _TWO_MINUS)


class Measure(StrEnum):
    """The unit of the digits after the code: grams, minor units of a currency, or pieces."""

    WEIGHT_G = "weight_g"
    PRICE_MINOR = "price_minor"
    COUNT = "count"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The layout of the 13 digits: prefix, code, measure with an optional check digit, check digit.

    Raises BadRule.
    """

    prefix: str
    code_digits: int
    measure: Measure
    measure_digits: int
    price_check_digit: bool = False

    def __post_init__(self) -> None:
        if not is_digits(self.prefix) or not self.prefix.startswith(PREFIXES):
            raise BadRule("the prefix must begin with 02 or with 20 to 29")
        if min(self.code_digits, self.measure_digits) < 1:
            raise BadRule("code and measure need a digit each at least")
        if self.price_check_digit and self.measure_digits not in CHECKED_DIGITS:
            raise BadRule("only a measure of 4 or 5 digits may have a check digit")
        if self._length != LENGTH:
            raise BadRule("with its check digit it must make 13 digits")

    @property
    def _length(self) -> int:
        inner = self.code_digits + self.price_check_digit + self.measure_digits
        return len(self.prefix) + inner + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredItem:
    """The content of a barcode: the item's code and its measure; `rule` is the rule it matched."""

    code: int
    measure: Measure
    value: int
    rule: Rule


def encode(rule: Rule, code: int, measure: int) -> str:
    """The 13 digits. Raises DoesNotFit for a code or a measure of more digits than the rule has."""
    value = _padded(measure, rule.measure_digits)
    middle = measure_check_digit(value) if rule.price_check_digit else ""
    body = f"{rule.prefix}{_padded(code, rule.code_digits)}{middle}{value}"
    return body + check_digit(body)


def decode(rules: Iterable[Rule], barcode: str) -> MeasuredItem | None:
    """Decode a barcode by the matching rule with the longest prefix; None if no rule matches.

    A UPC-A of 12 digits is read with a zero in front. Raises WrongCheckDigit.
    """
    digits = f"0{barcode}" if len(barcode) == LENGTH - 1 else barcode
    if len(digits) != LENGTH or not is_digits(digits):
        return None
    fitting = (rule for rule in rules if digits.startswith(rule.prefix))
    rule = max(fitting, key=lambda rule: len(rule.prefix), default=None)
    if rule is None:
        return None
    if check_digit(digits[:-1]) != digits[-1]:
        raise WrongCheckDigit
    end = len(rule.prefix) + rule.code_digits
    value = digits[-1 - rule.measure_digits : -1]
    if rule.price_check_digit and measure_check_digit(value) != digits[end]:
        raise WrongCheckDigit
    code = int(digits[len(rule.prefix) : end])
    return MeasuredItem(code=code, measure=rule.measure, value=int(value), rule=rule)


def overlapping(one: Rule, other: Rule) -> bool:
    """Whether some barcodes match both rules."""
    return one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)


def measure_check_digit(digits: str) -> str:
    """The check digit of a measure of four or five digits. Raises DoesNotFit."""
    if len(digits) not in CHECKED_DIGITS or not is_digits(digits):
        raise DoesNotFit
    weights = _OF_FOUR if len(digits) == len(_OF_FOUR) else _OF_FIVE
    total = sum(weight[int(digit)] for weight, digit in zip(weights, digits, strict=True))
    if weights is _OF_FOUR:
        return str(total * 3 % 10)
    return str(_FIVE_MINUS.index(-total % 10))


def _padded(number: int, digits: int) -> str:
    if not 0 <= number < 10**digits:
        raise DoesNotFit
    return f"{number:0{digits}}"
