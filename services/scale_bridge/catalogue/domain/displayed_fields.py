"""The fields of a product that a scale displays."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.driver.domain.document import Product, is_deleted, key_of, products

DisplayedFields: TypeAlias = Mapping[str, Any]
"""The displayed fields of a product; absent, null and empty ones are left out."""

DISPLAYED_FIELDS: Final = (
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
"""Without `shelfLifeInDays`, which scales compute (§3)."""


def displayed_fields(product: Product) -> DisplayedFields:
    """The displayed fields of one product."""
    return {name: product[name] for name in DISPLAYED_FIELDS if product.get(name) not in (None, "")}


def displayed_by_plu(document: Mapping[str, Any]) -> Mapping[str, DisplayedFields]:
    """The displayed fields of every product, by the products' keys (see `key_of`)."""
    return {
        key_of(product): displayed_fields(product)
        for product in products(document)
        if not is_deleted(product)
    }
