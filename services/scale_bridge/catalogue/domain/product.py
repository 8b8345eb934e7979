"""The fields of a product: what each may be set to (R11), and edits of them (R13).

Known fields are validated. Unknown fields belong to the vendor or to newer firmware and are stored
unchanged, if they are JSON that a scale can be sent.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.catalogue.domain.dates import MOST_DAYS, is_date
from services.scale_bridge.catalogue.domain.model import LARGEST_PLU, PERMISSIVE, Limits, beyond
from services.scale_bridge.driver.domain.document import Product, text_of

Check: TypeAlias = Callable[[Any], Any]

LONGEST_NAME: Final = 200
LONGEST_STRUCTURE: Final = 4000
LARGEST_ID: Final = 2**31 - 1
FIXED: Final = frozenset({"id", "code", "deleted"})
_LONGEST_KEY: Final = 64
_DEEPEST: Final = 16

References: TypeAlias = Mapping[str, Mapping[str, int | str]]
"""The ids that a referring field may have: as text, and as the scale writes them. A field that is
absent here may have any id."""


class BadFields(ValueError):
    """Fields cannot be set; `reasons` has one for each field, and never the value."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("the product cannot be changed like this")
        self.reasons = dict(reasons)


class BeyondModel(BadFields):
    """The fields are valid, but the model of the scale cannot hold them (SCL-8)."""


class WrongValue(ValueError):
    """A value is not allowed; the message says which are."""


def patched(
    product: Product,
    fields: Mapping[str, Any],
    *,
    others: Collection[str],
    limits: Limits = PERMISSIVE,
    references: References | None = None,
) -> Product:
    """The product after an edit. `others` are the PLUs of all other products, as text.

    Without fields the same object is returned. A cleared date is an empty text. Raises BadFields;
    BeyondModel if the only fault is that values are beyond `limits`.
    """
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in fields.items():
        try:
            values[name] = checked(name, value)
        except WrongValue as wrong:
            reasons[name] = str(wrong)
    if "pluNumber" in values:
        values["pluNumber"] = _like(product.get("pluNumber"), values["pluNumber"])
        if text_of(values["pluNumber"]) in others:
            reasons["pluNumber"] = "another product has this PLU"
    values, unresolved = _resolve(values, references or {})
    reasons |= unresolved
    # Clients also send unchanged fields, and the scale may hold values beyond the limits.
    set_ = {name: value for name, value in values.items() if value != product.get(name)}
    excess = {name: why for name in set_ if (why := beyond(limits, name, set_[name]))}
    if reasons:
        raise BadFields(excess | reasons)
    if excess:
        raise BeyondModel(excess)
    return {**product, **values, **_derived(product, values)} if values else product


def fault_in(name: str, value: Any) -> str | None:
    """The reason why a stored field breaks R11, None if it is valid.

    In a stored product, digits as text are a valid PLU (§3).
    """
    if name in FIXED:
        return None
    if name == "pluNumber" and isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    try:
        checked(name, value)
    except WrongValue as wrong:
        return str(wrong)
    return None


def _resolve(
    values: dict[str, Any], references: References
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values with ids as the scale writes them, and the reasons of ids that do not exist."""
    referring = {name for name in values.keys() & references.keys() if values[name] is not None}
    known = {name: references[name].get(text_of(values[name]) or "") for name in referring}
    unresolved = {name: "there is none with this number" for name in known if known[name] is None}
    return {**values, **known}, unresolved


def _derived(product: Product, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The field that scales compute from the shelf life, if the shelf life was edited."""
    if not {"shelfLife", "shelfLifeType"} & values.keys():
        return {}
    after = {**product, **values}
    in_days = after.get("shelfLifeType") in (None, "DAYS") and is_number(after.get("shelfLife"))
    return {"shelfLifeInDays": after["shelfLife"]} if in_days else {}


def _like(before: object, plu: int) -> int | str:
    """The PLU as text if it was text before (§3)."""
    return str(plu) if isinstance(before, str) else plu


def checked(name: str, value: Any) -> Any:
    """The value as it is stored. Raises WrongValue."""
    if name in FIXED:
        raise WrongValue("this field cannot be changed")
    check = _CHECKS.get(name)
    if check is not None:
        return check(value)
    if not 0 < len(name) <= _LONGEST_KEY or not is_sendable(name):
        raise WrongValue("a field has a name, of 64 characters at most")
    if not is_sendable(value):
        raise WrongValue("must be JSON with finite numbers, and not nested too deep")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not is_sendable(value):
        raise WrongValue(f"must be a text of 1 to {LONGEST_NAME} characters")
    return value


def _amount(value: Any) -> int | float:
    if not is_number(value) or not value >= 0:
        raise WrongValue("must be a finite number, 0 or more")
    number: int | float = value
    return number


def _amount_or_none(value: Any) -> int | float | None:
    return None if value is None else _amount(value)


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if not is_number(value) or value != int(value) or not least <= value <= most:
            raise WrongValue(f"must be a whole number from {least} to {most}")
        return int(value)

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise WrongValue(f"must be {' or '.join(allowed)}")
        return value

    return check


def _day(value: Any) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_date(value):
        raise WrongValue("must be a real date, written DD-MM-YY, or empty")
    return value


def _id_or_none(value: Any) -> int | str | None:
    """Some scales write ids as text (§3)."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        return value
    return None if value is None else int(_whole(0, LARGEST_ID)(value))


def _word_or_none(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) <= _LONGEST_KEY):
        raise WrongValue(f"must be a text of at most {_LONGEST_KEY} characters, or null")
    return value if value is None else _text(value) if value else ""


def _json_or_none(value: Any) -> str | None:
    """JSON in a text (§3)."""
    if value is None or value == "":
        return None if value is None else ""
    try:
        whole = isinstance(value, str) and len(value) <= LONGEST_STRUCTURE
        if whole and is_sendable(value) and is_sendable(json.loads(value)):
            return str(value)
    except (ValueError, RecursionError):
        pass
    raise WrongValue(f"must be JSON written as a text of at most {LONGEST_STRUCTURE} characters")


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
    "message": _id_or_none,
    "category": _id_or_none,
    "labelTemplate": _id_or_none,
    "labelDiscountTemplate": _id_or_none,
    "barcodePrefixType": _word_or_none,
    "barcodeStructure": _json_or_none,
}


def is_number(value: object) -> bool:
    """Whether it is a finite number: true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_sendable(value: object) -> bool:
    """Whether a scale can be sent this value: JSON, finite, and not nested too deep."""
    return _sendable(value, 0)


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
    return value is None or isinstance(value, bool) or is_number(value)
