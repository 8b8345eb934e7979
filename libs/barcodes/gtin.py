"""GTINs, the numbers of trade items: 8, 12, 13 or 14 digits, the last a check digit.

GS1 General Specifications, 7.9.
"""

from typing import Final

from libs.barcodes.faults import NotDigits, WrongCheckDigit, WrongLength

LENGTHS: Final = (8, 12, 13, 14)
_DIGITS: Final = frozenset("0123456789")


def check_digit(digits: str) -> str:
    """The check digit of any number of digits. Raises NotDigits."""
    if not is_digits(digits):
        raise NotDigits
    weighted = (int(d) * (1 if index % 2 else 3) for index, d in enumerate(reversed(digits)))
    return str(-sum(weighted) % 10)


def checked(code: str) -> str:
    """Validate a GTIN and return it. Raises NotDigits, WrongLength, WrongCheckDigit."""
    if not is_digits(code):
        raise NotDigits
    if len(code) not in LENGTHS:
        raise WrongLength
    if check_digit(code[:-1]) != code[-1]:
        raise WrongCheckDigit
    return code


def gtin14(code: str) -> str:
    """The GTIN in 14 digits, for comparing GTINs.

    Raises NotDigits, WrongLength, WrongCheckDigit.
    """
    return checked(code).zfill(14)


def is_digits(text: str) -> bool:
    """Whether the text consists of one or more of 0 to 9; `str.isdigit` accepts more."""
    return bool(text) and _DIGITS.issuperset(text)
