"""Parse GS1 element strings of GS1-128, GS1 DataMatrix and GS1 DataBar.

GS1 General Specifications, 3 and 7.8. An element of variable length ends at a separator (FNC1,
which scanners send as the ASCII character GS) or at the end of the string. An identifier that GS1
has not assigned keeps the text after it as its value.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias

from libs.barcodes.faults import BadElement, RepeatedElement, UnknownElement, WrongCheckDigit
from libs.barcodes.gtin import check_digit
from libs.barcodes.identifiers import Identifier, identifier_at

SEPARATOR: Final = "\x1d"
SYMBOLOGIES: Final = ("]C1", "]d2", "]Q3", "]e0", "]J1")
"""Prefixes that scanners can send: GS1-128, DataMatrix, QR, DataBar, DotCode."""
_CURRENCY_DIGITS: Final = 3
_UNMARKED: Final = (
    "The barcode is not marked as one of GS1: "
    "it has neither a separator (FNC1) nor a symbology identifier."
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a currency, given by its three digits of ISO 4217."""

    currency: str
    value: Decimal


Value: TypeAlias = str | int | date | Decimal | Amount
"""Counts are integers, measures and amounts decimals in the identifier's unit, days are dates.
All other values are text: GTIN, batch, serial, dates with a time, date ranges."""
Elements: TypeAlias = Mapping[str, Value]
"""Values by identifier, such as `01`, `17`, `3103`, in the order of the barcode."""


def read(text: str, *, today: date) -> Elements:
    """Parse an element string. `today` determines the century of two-digit years.

    The text must be marked as one of GS1, by a symbology identifier in front or a separator
    anywhere, because any digit string could be an element string. Raises UnknownElement,
    BadElement, RepeatedElement, WrongCheckDigit.
    """
    rest = next((text[len(mark) :] for mark in SYMBOLOGIES if text.startswith(mark)), None)
    if rest is None:
        if text and SEPARATOR not in text:
            raise UnknownElement(_UNMARKED)
        rest = text
    elements: dict[str, Value] = {}
    rest = rest.lstrip(SEPARATOR)
    while rest:
        identifier = identifier_at(rest)
        if identifier is None:
            raise UnknownElement
        data, rest = _split(rest[len(identifier.digits) :], identifier)
        value = _value(identifier, data, today)
        if elements.setdefault(identifier.digits, value) != value:
            raise RepeatedElement
    if not elements:
        raise BadElement
    return elements


def _split(rest: str, identifier: Identifier) -> tuple[str, str]:
    """The text of an element's value, and the rest of the string."""
    if identifier.length is None:
        data, _, rest = rest.partition(SEPARATOR)
        return data, rest
    # Some printers add a separator that is not needed.
    data, rest = rest[: identifier.length], rest[identifier.length :]
    return data, rest.removeprefix(SEPARATOR)


def _value(identifier: Identifier, data: str, today: date) -> Value:
    match = identifier.pattern.fullmatch(data)
    if match is None:
        raise BadElement
    days = [
        day
        for part, checks in zip(match.groups(), identifier.checks, strict=True)
        if part is not None
        for day in _checked(part, checks, today)
    ]
    digits = identifier.digits
    if days and len(match.groups()) == 1:
        return days[0]
    if digits in _COUNTS:
        return int(data)
    if identifier.assigned and digits.startswith(_DECIMALS):
        return _scaled(data, digits)
    if digits.startswith(_AMOUNTS):
        return Amount(data[:_CURRENCY_DIGITS], _scaled(data[_CURRENCY_DIGITS:], digits))
    return data


def _checked(part: str, checks: frozenset[str], today: date) -> list[date]:
    """Check a part; returns its date if it is one. Raises WrongCheckDigit, BadElement."""
    if "csum" in checks and check_digit(part[:-1]) != part[-1]:
        raise WrongCheckDigit
    if "yymmd0" in checks:
        return [_day(part, today)]
    if "yymmdd" in checks:
        if part.endswith("00"):
            raise BadElement
        return [_day(part, today)]
    return []


def _day(digits: str, today: date) -> date:
    """The date of YYMMDD in the nearest century; day 00 is the last of the month (3.4)."""
    short_year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    year = today.year - today.year % 100 + short_year
    if short_year - today.year % 100 > 50:
        year -= 100
    elif short_year - today.year % 100 < -49:
        year += 100
    try:
        return date(year, month, day or monthrange(year, month)[1])
    except ValueError:
        raise BadElement from None


def _scaled(digits: str, identifier: str) -> Decimal:
    """The fourth digit of the identifier is the number of decimal places."""
    return Decimal(digits).scaleb(-int(identifier[3]))


_COUNTS: Final = ("30", "37")
_DECIMALS: Final = ("31", "32", "33", "34", "35", "36", "390", "392", "394", "395")
"""Measures, amounts in the one currency of the area, percents and prices per unit."""
_AMOUNTS: Final = ("391", "393")
"""Amounts with their currency."""
