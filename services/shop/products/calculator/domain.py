"""Materials and margins of the calculator, and the product of a calculation (spec shop §7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, TypeAlias, assert_never

from contracts import shop
from contracts.shop import CalculatorSettings, Material, ProductDetails, ShopEvent
from libs.errors import NotFound, Unfit
from libs.eventsourcing.decider import Decider

DEFAULT: Final = CalculatorSettings(
    default_labor_cost=Decimal("2000.00"),
    min_margin_percent=Decimal("30.00"),
    recommended_margin_percent=Decimal("50.00"),
    premium_margin_percent=Decimal("100.00"),
)


class MaterialUnknown(NotFound):
    """Материал не найден"""


class BadCalculation(Unfit):
    """Расчёт не сходится"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMaterial:
    """A material; without `material` there is none."""

    material_id: int = 0
    material: Material | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def present(self) -> Material:
        """The material. Raises MaterialUnknown."""
        if self.material is None:
            raise MaterialUnknown
        return self.material


@dataclass(frozen=True, kw_only=True, slots=True)
class Authored:
    """The fields of every command: the account that gives it, and when."""

    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddMaterial(Authored):
    """Add a material under a new number."""

    material_id: int
    material: Material


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeMaterial(Authored):
    """Replace the fields of `changes`, which are named as those of `Material`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveMaterial(Authored):
    """Remove a material."""


MaterialCommand: TypeAlias = AddMaterial | ChangeMaterial | RemoveMaterial


def decide(stored: StoredMaterial, command: MaterialCommand) -> list[ShopEvent]:
    """The events of a command, none if it changes nothing. Raises MaterialUnknown."""
    by, now, number = command.by, command.now, stored.material_id
    match command:
        case AddMaterial(material_id=new, material=material):
            added = shop.MaterialAdded(
                material_id=new, material=material, added_by=by, added_at=now
            )
            return [added] if stored.material is None else []
        case ChangeMaterial(changes=changes):
            material = replace(stored.present, **changes)
            changed = shop.MaterialChanged(
                material_id=number, material=material, changed_by=by, changed_at=now
            )
            return [changed] if material != stored.present else []
        case RemoveMaterial():
            _ = stored.present
            return [shop.MaterialRemoved(material_id=number, removed_by=by, removed_at=now)]
        case _:
            assert_never(command)


def evolve(stored: StoredMaterial, event: ShopEvent) -> StoredMaterial:
    """The material after an event."""
    match event:
        case shop.MaterialAdded(material_id=number, material=material, added_at=at):
            return StoredMaterial(
                material_id=number, material=material, created_at=at, updated_at=at
            )
        case shop.MaterialChanged(material=material, changed_at=at):
            return replace(stored, material=material, updated_at=at)
        case shop.MaterialRemoved():
            return StoredMaterial()
        case _:
            return stored


MATERIAL: Final = Decider(
    category="material", initial=StoredMaterial(), decide=decide, evolve=evolve
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of the calculator; without times they were never changed."""

    settings: CalculatorSettings = DEFAULT
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSettings(Authored):
    """Replace the fields of `changes`, which are named as those of `CalculatorSettings`."""

    changes: Mapping[str, Any]


def decide_settings(known: Settings, command: ChangeSettings) -> list[ShopEvent]:
    """The change, if there is one."""
    settings = replace(known.settings, **command.changes)
    changed = shop.CalculatorChanged(
        settings=settings, changed_by=command.by, changed_at=command.now
    )
    return [changed] if settings != known.settings else []


def evolve_settings(known: Settings, event: ShopEvent) -> Settings:
    """The settings after an event."""
    if not isinstance(event, shop.CalculatorChanged):
        return known
    created_at = known.created_at or event.changed_at
    return Settings(settings=event.settings, created_at=created_at, updated_at=event.changed_at)


SETTINGS: Final = Decider(
    category="calculator", initial=Settings(), decide=decide_settings, evolve=evolve_settings
)
ID: Final = "settings"
"""The id of the only settings of a shop: their stream is `calculator-settings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Flowers or materials of one kind in a calculation; `price` of one in tenge."""

    name: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Calculation:
    """What a client calculated. A `total_cost` of 0 means that the cost is not known."""

    flowers: Sequence[Item]
    materials: Sequence[Item]
    labor_cost: Decimal
    margin_percentage: Decimal
    total_cost: Decimal
    final_price: Decimal


_TENGE: Final = Decimal(1)
_PERCENT: Final = Decimal("0.5")
"""How far the numbers of a client may be from ours: it rounds them for its page."""


def price_of(calculation: Calculation) -> int:
    """The price in whole tenge: flowers, materials and labour.

    Raises BadCalculation if it, the cost or the margin is not what the client calculated.
    """
    extras = _sum(calculation.materials) + calculation.labor_cost
    price, cost = _sum(calculation.flowers) + extras, calculation.total_cost
    if abs(price - calculation.final_price) > _TENGE:
        raise BadCalculation(f"Цена не сходится с составом: {whole(price)}")
    if cost and cost < extras - _TENGE:
        raise BadCalculation(f"Себестоимость меньше материалов и работы: {whole(extras)}")
    margin = (calculation.final_price - cost) / cost * 100 if cost else None
    if margin is not None and abs(margin - calculation.margin_percentage) > _PERCENT:
        raise BadCalculation(f"Маржа не сходится с ценой: {whole(margin)} %")
    if whole(price) <= 0:
        raise BadCalculation("Цена должна быть больше 0")
    return whole(price)


def calculated_product(
    calculation: Calculation, *, name: str | None, description: str | None, category: str
) -> ProductDetails:
    """The product of a calculation; without a name or a description it gets one of its parts.

    Raises BadCalculation.
    """
    return ProductDetails(
        name=name or _name(calculation.flowers),
        category=category,
        description=description or _description(calculation),
        cost_price=whole(calculation.total_cost),
        retail_price=price_of(calculation),
        is_new=True,
    )


def components_of(calculation: Calculation) -> list[dict[str, Any]]:
    """The values of the product's components: flowers, materials, and the florist's work."""
    flowers = [_component("flower", one, "Основной цветок", 0) for one in calculation.flowers]
    materials = [
        _component("material", one, "Декоративный материал", whole(one.price))
        for one in calculation.materials
    ]
    labor = Item(name="Работа флориста", quantity=1, price=calculation.labor_cost)
    if not labor.price:
        return [*flowers, *materials]
    work = _component("service", labor, "Профессиональная сборка букета", whole(labor.price))
    return [*flowers, *materials, work | {"unit": "услуга"}]


def whole(amount: Decimal) -> int:
    """The nearest whole number, half up."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _component(kind: str, item: Item, description: str, unit_cost: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": item.name,
        "description": description,
        "quantity": item.quantity,
        "unit": "шт",
        "unit_cost": unit_cost,
        "unit_price": whole(item.price),
    }


def _sum(items: Sequence[Item]) -> Decimal:
    return sum((one.price * one.quantity for one in items), Decimal(0))


def _name(flowers: Sequence[Item]) -> str:
    match [one.name for one in flowers]:
        case []:
            return "Композиция"
        case [first, *others] if len(others) > 1:
            return f"Букет из {first} и {len(others)} других цветов"
        case names:
            return f"Букет из {', '.join(names)}"


def _description(calculation: Calculation) -> str | None:
    flowers = "; ".join(f"{one.name} - {one.quantity} шт." for one in calculation.flowers)
    materials = ", ".join(one.name for one in calculation.materials)
    parts = [f"Состав: {flowers}"] if flowers else []
    parts += [f"Декор: {materials}"] if materials else []
    return ". ".join(parts) or None
