"""Editing a product (R11): what its fields may be set to, and what follows from it (R13).

Known fields are checked. Fields that we do not know belong to the vendor or to newer firmware and
are stored as they come, if they are JSON a scale can be sent.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.domain.catalogue import Product, text_of
from services.scale_bridge.domain.dates import MOST_DAYS, is_date

Check: TypeAlias = Callable[[Any], Any]

LONGEST_NAME: Final = 200
LARGEST_PLU: Final = 999_999
FIXED: Final = frozenset({"id", "code", "deleted"})
_LONGEST_KEY: Final = 64
_DEEPEST: Final = 16


class BadFields(ValueError):
    """Fields cannot be set; `reasons` says of each why, without repeating what was sent."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("the product cannot be changed like this")
        self.reasons = dict(reasons)


class _Wrong(ValueError):
    """A value is not allowed; the message says what is."""


def patched(product: Product, fields: Mapping[str, Any], *, others: Collection[str]) -> Product:
    """The product with these fields. `others` are the PLUs of all other products, as text.

    Without fields it is the same product. A cleared date is an empty text. Raises BadFields.
    """
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in fields.items():
        try:
            values[name] = _checked(name, value)
        except _Wrong as wrong:
            reasons[name] = str(wrong)
    if "pluNumber" in values:
        values["pluNumber"] = _as_before(product.get("pluNumber"), values["pluNumber"])
        if text_of(values["pluNumber"]) in others:
            reasons["pluNumber"] = "another product has this PLU"
    if reasons:
        raise BadFields(reasons)
    return {**product, **values, **_derived(product, values)} if values else product


def _derived(product: Product, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an edited shelf life in days means for the field that scales compute from it."""
    if not {"shelfLife", "shelfLifeType"} & values.keys():
        return {}
    after = {**product, **values}
    in_days = after.get("shelfLifeType") in (None, "DAYS") and _is_number(after.get("shelfLife"))
    return {"shelfLifeInDays": after["shelfLife"]} if in_days else {}


def _checked(name: str, value: Any) -> Any:
    if name in FIXED:
        raise _Wrong("this field cannot be changed")
    check = _CHECKS.get(name)
    if check is not None:
        return check(value)
    if not 0 < len(name) <= _LONGEST_KEY or not _sendable(name, 0):
        raise _Wrong("a field has a name, of 64 characters at most")
    if not _sendable(value, 0):
        raise _Wrong("must be JSON with finite numbers, and not nested too deep")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not _sendable(value, 0):
        raise _Wrong(f"must be a text of 1 to {LONGEST_NAME} characters")
    return value


def _amount(value: Any) -> int | float:
    if not _is_number(value) or not value >= 0:
        raise _Wrong("must be a finite number, 0 or more")
    number: int | float = value
    return number


def _amount_or_none(value: Any) -> int | float | None:
    return None if value is None else _amount(value)


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if not _is_number(value) or value != int(value) or not least <= value <= most:
            raise _Wrong(f"must be a whole number from {least} to {most}")
        return int(value)

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _Wrong(f"must be {' or '.join(allowed)}")
        return value

    return check


def _day(value: Any) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_date(value):
        raise _Wrong("must be a real date, written DD-MM-YY, or empty")
    return value


_CHECKS: Final[Mapping[str, Check]] = {
    "name": _text,
    "price": _amount,
    "discountPrice": _amount_or_none,
    "shelfLife": _whole(0, MOST_DAYS),
    "shelfLifeInDays": _whole(0, MOST_DAYS),
    "shelfLifeType": _one_of("DAYS", "HOURS"),
    "manufactureDate": _day,
    "sellByDate": _day,
    "tare": _amount,
    "pieceWeight": _amount,
    "productType": _one_of("PIECE", "WEIGHT"),
    "pluNumber": _whole(1, LARGEST_PLU),
}


def _as_before(before: object, plu: int) -> int | str:
    """Whoever writes PLUs as text gets text back (§3)."""
    return str(plu) if isinstance(before, str) else plu


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _sendable(value: object, depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, str):
        return not any(
            character == "\0" or "\ud800" <= character <= "\udfff" for character in value
        )
    if isinstance(value, Mapping):
        return all(_sendable(part, depth + 1) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(_sendable(part, depth + 1) for part in value)
    return value is None or isinstance(value, bool) or _is_number(value)
