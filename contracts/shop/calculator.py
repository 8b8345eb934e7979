"""The materials and margins with which a shop calculates its bouquets. Amounts are in tenge."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

MATERIALS: Final = "shop.material"
CALCULATOR: Final = "shop.calculator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Something that decorates a bouquet, such as ribbon; `price` is per `unit`."""

    name: str
    price: Decimal
    unit: str
    category: str | None = None
    is_active: bool = True
    in_stock: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CalculatorSettings:
    """The usual cost of labour, and margins in per cent of the cost."""

    default_labor_cost: Decimal
    min_margin_percent: Decimal
    recommended_margin_percent: Decimal
    premium_margin_percent: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterialAdded:
    """A material was added. `material_id` is its number for clients."""

    material_id: int
    material: Material
    added_by: str
    added_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterialChanged:
    """A material was set to `material`."""

    material_id: int
    material: Material
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterialRemoved:
    """A material was removed."""

    material_id: int
    removed_by: str
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CalculatorChanged:
    """The settings of the calculator were set to `settings`."""

    settings: CalculatorSettings
    changed_by: str
    changed_at: datetime


CalculatorEvent: TypeAlias = MaterialAdded | MaterialChanged | MaterialRemoved | CalculatorChanged
EVENTS: Final = (MaterialAdded, MaterialChanged, MaterialRemoved, CalculatorChanged)
