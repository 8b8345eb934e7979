"""GS1 element strings, as GS1-128, GS1 DataMatrix and GS1 DataBar hold them: what each means.

GS1 General Specifications, 3 and 7.8. An element of variable length ends at a separator (FNC1,
which scanners send as the ASCII character GS) or at the end. Not all identifiers are known here:
what comes behind an unknown one cannot be told from it, so that nothing is guessed.
"""

from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias

from libs.barcodes.faults import BadElement, RepeatedElement, UnknownElement
from libs.barcodes.gtin import checked, is_digits

SEPARATOR: Final = "\x1d"
SYMBOLOGIES: Final = ("]C1", "]d2", "]Q3", "]e0", "]J1")
"""What scanners put in front when told to: GS1-128, DataMatrix, QR, DataBar, DotCode."""
GTIN_DIGITS: Final = 14
DATE_DIGITS: Final = 6
LONGEST_TEXT: Final = 20
_CURRENCY_DIGITS: Final = 3
_CHARACTERS: Final = frozenset(
    "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a currency, which is three digits of ISO 4217."""

    currency: str
    value: Decimal


Value: TypeAlias = str | int | date | Decimal | Amount
"""GTIN, batch and serial are texts, counts are numbers, weights are in kilograms."""
Elements: TypeAlias = Mapping[str, Value]
"""By identifier, in the order of the barcode: `01`, `17`, `3103`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """`least` and `most` characters; if that is the same number, no separator is needed.

    An identifier of four digits ends in the number of decimal places, `places` at most.
    """

    least: int
    most: int
    read: Callable[[str, date], Value]
    places: int = 9

    @property
    def is_fixed(self) -> bool:
        return self.least == self.most


def read(text: str, *, today: date) -> Elements:
    """What the string says. `today` is what the century of two-digit years is told by.

    Raises UnknownElement, BadElement, RepeatedElement, and for GTINs what `gtin.checked` raises.
    """
    rest = next((text[len(mark) :] for mark in SYMBOLOGIES if text.startswith(mark)), text)
    found: dict[str, Value] = {}
    rest = rest.lstrip(SEPARATOR)
    while rest:
        identifier, kind = _identified(rest)
        said, rest = _split(rest[len(identifier) :], kind)
        value = kind.read(identifier + said, today)
        if found.setdefault(identifier, value) != value:
            raise RepeatedElement
    if not found:
        raise BadElement
    return found


def _identified(rest: str) -> tuple[str, _Kind]:
    short = _SHORT.get(rest[:2])
    if short is not None:
        return rest[:2], short
    long, places = _LONG.get(rest[:3]), rest[3:4]
    if long is None or not is_digits(places) or int(places) > long.places:
        raise UnknownElement
    return rest[:4], long


def _split(rest: str, kind: _Kind) -> tuple[str, str]:
    """The value of an element, and what comes behind it."""
    if kind.is_fixed:
        # Some printers separate what needs no separator.
        said, rest = rest[: kind.most], rest[kind.most :]
        rest = rest.removeprefix(SEPARATOR)
    else:
        said, _, rest = rest.partition(SEPARATOR)
    if not kind.least <= len(said) <= kind.most or not _CHARACTERS.issuperset(said):
        raise BadElement
    return said, rest


def _gtin(said: str, _: date) -> str:
    return checked(said[2:])


def _text(said: str, _: date) -> str:
    return said[2:]


def _count(said: str, _: date) -> int:
    return int(_number(said[2:]))


def _day(said: str, today: date) -> date:
    """YYMMDD, in the century that brings it nearest; day 00 is the last of the month (3.4)."""
    digits = _number(said[2:])
    two, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    year = today.year - today.year % 100 + two
    if two - today.year % 100 > 50:
        year -= 100
    elif two - today.year % 100 < -49:
        year += 100
    try:
        return date(year, month, day or monthrange(year, month)[1])
    except ValueError:
        raise BadElement from None


def _decimal(said: str, _: date) -> Decimal:
    return _scaled(said[4:], said[3])


def _amount(said: str, _: date) -> Amount:
    currency, digits = said[4 : 4 + _CURRENCY_DIGITS], said[4 + _CURRENCY_DIGITS :]
    return Amount(_number(currency), _scaled(digits, said[3]))


def _scaled(digits: str, places: str) -> Decimal:
    """The fourth digit of the identifier says how many digits stand behind the point."""
    return Decimal(_number(digits)).scaleb(-int(places))


def _number(digits: str) -> str:
    if not is_digits(digits):
        raise BadElement
    return digits


_DATE: Final = _Kind(DATE_DIGITS, DATE_DIGITS, _day)
_SHORT: Final[Mapping[str, _Kind]] = {
    "01": _Kind(GTIN_DIGITS, GTIN_DIGITS, _gtin),
    "02": _Kind(GTIN_DIGITS, GTIN_DIGITS, _gtin),
    "10": _Kind(1, LONGEST_TEXT, _text),
    "11": _DATE,
    "13": _DATE,
    "15": _DATE,
    "17": _DATE,
    "21": _Kind(1, LONGEST_TEXT, _text),
    "30": _Kind(1, 8, _count),
    "37": _Kind(1, 8, _count),
}
_LONG: Final[Mapping[str, _Kind]] = {
    "310": _Kind(6, 6, _decimal, places=5),
    "392": _Kind(1, 15, _decimal),
    "393": _Kind(_CURRENCY_DIGITS + 1, _CURRENCY_DIGITS + 15, _amount),
}
"""Identifiers of four digits, by their first three."""
