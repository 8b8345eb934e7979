"""Which materials does a shop have?"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Boolean, Column, Text

from contracts import shop
from contracts.shop import ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.filters import Filters, eq
from libs.projections.projection import Projection
from libs.projections.states import StateTable
from services.shop.products.calculator import domain
from services.shop.products.calculator.domain import StoredMaterial


def _values(stored: StoredMaterial) -> Mapping[str, Any]:
    return query.values_for(MATERIAL, stored.material)


MATERIALS: Final = StateTable(
    "material",
    domain.MATERIAL,
    Column("category", Text),
    Column("is_active", Boolean),
    key="material_id",
    values=_values,
)
MATERIAL: Final = MATERIALS.table
FILTERS: Final = Filters(category=eq(MATERIAL.c.category), is_active=eq(MATERIAL.c.is_active))
EXISTS: Final = MATERIAL.c.is_active.is_not(None)


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return MATERIALS.projection(shop.MATERIALS, codec_of(shop.EVENTS))
