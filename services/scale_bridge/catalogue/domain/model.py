"""The limits of each model of scale (SCL-8), checked by edits.

An unknown limit is not checked: an edit that the scale might accept is not refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

LARGEST_PLU: Final = 999_999
"""PLUs of four bytes; those of two end at 65535 (§3)."""
SHORT_PLU: Final = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of a model; None if unknown.

    `highest_price` is in major units; `longest_text` is in characters, of one message.
    """

    most_products: int | None = None
    longest_name: int | None = None
    longest_text: int | None = None
    lowest_plu: int = 1
    highest_plu: int = LARGEST_PLU
    highest_price: float | None = None


PERMISSIVE: Final = Limits()
"""The limits of an unknown model: those of R11."""

# The vendor gives ranges only in its obsolete record of a single PLU (§10): two lines of name with
# 28 characters each, prices of 0 to 999999 minor units. The real catalogue of §3, names of 50
# characters and prices up to 1500, is well within them. How many products, and how much text of a
# message fit is not documented. Whether PLUs have four bytes or two is a setting of the scale: a
# scale that is set to two has a model of its own here.
FOUR_BYTES: Final = Limits(longest_name=56, highest_price=9_999.99)
TWO_BYTES: Final = replace(FOUR_BYTES, highest_plu=SHORT_PLU)

MODELS: Final[Mapping[str, Limits]] = {
    "": PERMISSIVE,
    "M-ER 725": FOUR_BYTES,
    "M-ER 725, 2-byte PLU": TWO_BYTES,
    "M-ER 727": FOUR_BYTES,
    "M-ER 727, 2-byte PLU": TWO_BYTES,
    "M-ER 828": FOUR_BYTES,
    "M-ER 828, 2-byte PLU": TWO_BYTES,
}


def limits_of(model: str) -> Limits:
    """The limits of a model; permissive for one that is not in the table."""
    return MODELS.get(model, PERMISSIVE)


def beyond(limits: Limits, name: str, value: Any) -> str | None:
    """The reason why a field of a product is beyond the limits, None if it fits.

    Values of a wrong type fit; `product.checked` rejects them.
    """
    match name:
        case "name" if isinstance(value, str):
            return _longer(limits.longest_name, value)
        case "price" | "discountPrice" if _is_number(value):
            return _dearer(limits.highest_price, value)
        case "pluNumber" if _is_number(value) or isinstance(value, str):
            return _outside(limits, value)
        case _:
            return None


def beyond_text(limits: Limits, text: object) -> str | None:
    """The reason why the text of a message is beyond the limits, None if it fits."""
    return _longer(limits.longest_text, text) if isinstance(text, str) else None


def beyond_number(limits: Limits, products: int) -> str | None:
    """The reason why the number of products is beyond the limits, None if it fits."""
    most = limits.most_products
    return f"this model holds {most} products at most" if most and products > most else None


def _longer(longest: int | None, text: str) -> str | None:
    if longest is None or len(text) <= longest:
        return None
    return f"this model takes {longest} characters at most"


def _dearer(highest: float | None, price: float) -> str | None:
    return None if highest is None or price <= highest else f"this model takes {highest} at most"


def _outside(limits: Limits, plu: float | str) -> str | None:
    if isinstance(plu, str):
        if not (plu.isascii() and plu.isdecimal()):
            return None
        # 20 digits are more than any PLU has; Python limits the digits of a number.
        plu = int(plu[:20])
    if limits.lowest_plu <= plu <= limits.highest_plu:
        return None
    return f"this model takes PLUs from {limits.lowest_plu} to {limits.highest_plu}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
