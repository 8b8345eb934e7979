"""Editing a product (R11): what its fields may be set to, and what follows from it (R13).

Known fields are checked. Fields that we do not know belong to the vendor or to newer firmware and
are stored as they come, if they are JSON a scale can be sent.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits, beyond
from services.scale_bridge.catalogue.domain.product_fields import (
    FIXED,
    WrongValue,
    checked,
    is_number,
)
from services.scale_bridge.driver.domain.document import Product, text_of

References: TypeAlias = Mapping[str, Mapping[str, int | str]]
"""For each field that refers to something, what it may be: ids as text, and as the scale writes
them. A field that is not there may be any id."""


class BadFields(ValueError):
    """Fields cannot be set; `reasons` says of each why, without repeating what was sent."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("the product cannot be changed like this")
        self.reasons = dict(reasons)


class BeyondModel(BadFields):
    """Nothing is wrong with the fields but that the model of scale cannot hold them (SCL-8)."""


def patched(
    product: Product,
    fields: Mapping[str, Any],
    *,
    others: Collection[str],
    limits: Limits = PERMISSIVE,
    references: References | None = None,
) -> Product:
    """The product with these fields. `others` are the PLUs of all other products, as text.

    Without fields it is the same product. A cleared date is an empty text. Raises BadFields, or of
    it BeyondModel if nothing else is wrong than that they are beyond `limits`.
    """
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in fields.items():
        try:
            values[name] = checked(name, value)
        except WrongValue as wrong:
            reasons[name] = str(wrong)
    if "pluNumber" in values:
        values["pluNumber"] = _as_before(product.get("pluNumber"), values["pluNumber"])
        if text_of(values["pluNumber"]) in others:
            reasons["pluNumber"] = "another product has this PLU"
    values, unmet = _referred(values, references or {})
    reasons |= unmet
    # Clients send fields along that nobody changed, and the scale itself may have them.
    set_ = {name: value for name, value in values.items() if value != product.get(name)}
    excess = {name: why for name in set_ if (why := beyond(limits, name, set_[name]))}
    if reasons:
        raise BadFields(excess | reasons)
    if excess:
        raise BeyondModel(excess)
    return {**product, **values, **_derived(product, values)} if values else product


def fault_in(name: str, value: Any) -> str | None:
    """Why a stored field is not as R11 wants it, None if it is.

    A text of digits is a PLU too (§3), and a stored field is not validated.
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


def _referred(
    values: dict[str, Any], references: References
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values, ids as the scale writes them, and of which of them there is no such thing."""
    referring = {name for name in values.keys() & references.keys() if values[name] is not None}
    known = {name: references[name].get(text_of(values[name]) or "") for name in referring}
    unmet = {name: "there is none with this number" for name in known if known[name] is None}
    return {**values, **known}, unmet


def _derived(product: Product, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an edited shelf life in days means for the field that scales compute from it."""
    if not {"shelfLife", "shelfLifeType"} & values.keys():
        return {}
    after = {**product, **values}
    in_days = after.get("shelfLifeType") in (None, "DAYS") and is_number(after.get("shelfLife"))
    return {"shelfLifeInDays": after["shelfLife"]} if in_days else {}


def _as_before(before: object, plu: int) -> int | str:
    """A PLU written as text stays text (§3)."""
    return str(plu) if isinstance(before, str) else plu
