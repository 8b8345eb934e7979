"""The settings of a shop: their defaults, and what changes them (spec shop §4.7)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias

from contracts.shop import Company, CompanyChanged, DeliveryZone, ShopEvent
from libs.eventsourcing.decider import Decider

ZONES: Final = (
    DeliveryZone(name="Центр", price=2000),
    DeliveryZone(name="Бостандыкский район", price=2500),
    DeliveryZone(name="Медеуский район", price=3000),
    DeliveryZone(name="Ауэзовский район", price=3500),
    DeliveryZone(name="Алатауский район", price=4000),
    DeliveryZone(name="Наурызбайский район", price=5000),
)
DEFAULT: Final = Company(
    name="",
    address="",
    email="",
    phones=(),
    opens_at="09:00",
    closes_at="21:00",
    delivery_zones=ZONES,
)
"""What a shop shows its customers before it is changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a shop; without times they were never changed."""

    company: Company = DEFAULT
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeCompany:
    """Replace the fields of `changes`, which are named as those of `Company`."""

    changes: dict[str, Any]
    changed_by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AddZone:
    """Add a delivery zone, or change the price of the one with this name."""

    zone: DeliveryZone
    changed_by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NameCompany:
    """Name a company that has no name yet."""

    name: str
    changed_by: str
    now: datetime


Command: TypeAlias = ChangeCompany | AddZone | NameCompany


def decide(settings: Settings, command: Command) -> list[ShopEvent]:
    """The change, if there is one."""
    company = _changed(settings.company, command)
    if company == settings.company:
        return []
    return [CompanyChanged(company=company, changed_by=command.changed_by, changed_at=command.now)]


def evolve(settings: Settings, event: ShopEvent) -> Settings:
    """The settings after an event."""
    if not isinstance(event, CompanyChanged):
        return settings
    return Settings(
        company=event.company,
        created_at=settings.created_at or event.changed_at,
        updated_at=event.changed_at,
    )


def _changed(company: Company, command: Command) -> Company:
    if isinstance(command, ChangeCompany):
        return replace(company, **command.changes)
    if isinstance(command, NameCompany):
        return replace(company, name=company.name or command.name)
    others = [zone for zone in company.delivery_zones if zone.name != command.zone.name]
    return replace(company, delivery_zones=(*others, command.zone))


COMPANY: Final = Decider(category="settings", initial=Settings(), decide=decide, evolve=evolve)
ID: Final = "company"
"""The id of the only aggregate of a shop: its stream is `settings-company`."""
