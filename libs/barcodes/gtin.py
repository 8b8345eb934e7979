"""GTINs, the numbers of trade items: 8, 12, 13 or 14 digits, of which the last checks the others.

GS1 General Specifications, 7.9.
"""

from typing import Final

from libs.barcodes.faults import NotDigits, WrongCheckDigit, WrongLength

LENGTHS: Final = (8, 12, 13, 14)
_DIGITS: Final = frozenset("0123456789")


def check_digit(digits: str) -> str:
    """The digit that goes behind these, of which there may be any number. Raises NotDigits."""
    if not is_digits(digits):
        raise NotDigits
    weighted = (int(d) * (1 if place % 2 else 3) for place, d in enumerate(reversed(digits)))
    return str(-sum(weighted) % 10)


def checked(code: str) -> str:
    """The same GTIN, if it is one. Raises NotDigits, WrongLength, WrongCheckDigit."""
    if not is_digits(code):
        raise NotDigits
    if len(code) not in LENGTHS:
        raise WrongLength
    if check_digit(code[:-1]) != code[-1]:
        raise WrongCheckDigit
    return code


def gtin14(code: str) -> str:
    """The same trade item's number in 14 digits, by which GTINs are compared.

    Raises NotDigits, WrongLength, WrongCheckDigit.
    """
    return checked(code).zfill(14)


def is_digits(text: str) -> bool:
    """Whether it is nothing but the digits 0 to 9, and at least one: `str.isdigit` takes more."""
    return bool(text) and _DIGITS.issuperset(text)
