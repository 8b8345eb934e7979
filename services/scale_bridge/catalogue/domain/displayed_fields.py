"""The fields of a product that a scale displays."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.document import Product, key_of, products

DisplayedFields: TypeAlias = Mapping[str, Any]
"""Some fields of a product; one that is not there, null or an empty text is left out."""

COUNTS: Final = (
    "name",
    "price",
    "discountPrice",
    "productType",
    "shelfLife",
    "shelfLifeType",
    "manufactureDate",
    "sellByDate",
    "tare",
)
"""`shelfLifeInDays` is not among them: the scale computes it by itself (§3)."""


def displayed_fields(product: Product) -> DisplayedFields:
    """What counts of one product."""
    return {name: product[name] for name in COUNTS if product.get(name) not in (None, "")}


def displayed_by_plu(document: Mapping[str, Any]) -> Mapping[str, DisplayedFields]:
    """What counts of every product of a catalogue, by the products' keys (see `key_of`)."""
    return {
        key_of(product): displayed_fields(product)
        for product in products(document)
        if product.get("deleted") is not True
    }


def with_fields(shown: DisplayedFields, fields: Mapping[str, Any]) -> DisplayedFields:
    """The same after fields were set; None or an empty text takes one away."""
    return displayed_fields({**shown, **fields})
