"""Requests about the settings of a shop (spec shop §4.7)."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from contracts.shop import DeliveryZone
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal, public
from libs.http.metadata import metadata_of
from libs.http.visible import visible
from services.shop.company import handlers, read_models
from services.shop.company.domain import Settings
from services.shop.context import SETTINGS, PlainText, Shop, shop_number

router = APIRouter(prefix="/api/settings", tags=["settings"])
health = APIRouter(tags=["system"], dependencies=[Depends(public)])
ROUTERS: Final = (router, health)

Reader = Annotated[Principal, Depends(SETTINGS)]
Authored = Annotated[Metadata, metadata_of(SETTINGS)]
VISIBLE: Final = visible("company")
TABLE_COUNT: Final = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
Phone = Annotated[PlainText, Field(max_length=50)]
Time = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class WorkingHours(BaseModel):
    """When the shop opens and closes, `HH:MM` in its zone."""

    from_: Time = Field(alias="from")
    to: Time


class Zone(BaseModel):
    """A delivery zone and its fee in tenge."""

    name: Annotated[PlainText, Field(min_length=1, max_length=100)]
    price: Annotated[int, Field(ge=0, le=1_000_000)]


class CompanyUpdate(BaseModel):
    """The fields to replace; absent ones stay."""

    name: Annotated[PlainText, Field(max_length=200)] | None = None
    address: Annotated[PlainText, Field(max_length=500)] | None = None
    email: Annotated[PlainText, Field(max_length=200)] | None = None
    phones: Annotated[list[Phone], Field(max_length=20)] | None = None
    working_hours: WorkingHours | None = None
    delivery_zones: Annotated[list[Zone], Field(max_length=100)] | None = None

    def changes(self) -> dict[str, Any]:
        """The changed fields, named as those of `Company`."""
        given = self.model_dump(exclude_none=True, exclude={"working_hours", "delivery_zones"})
        if self.phones is not None:
            given["phones"] = tuple(self.phones)
        if self.working_hours is not None:
            given |= {"opens_at": self.working_hours.from_, "closes_at": self.working_hours.to}
        if self.delivery_zones is not None:
            given["delivery_zones"] = tuple(map(_zone, self.delivery_zones))
        return given


class CompanyOut(BaseModel):
    """The settings of a shop."""

    id: int
    name: str
    address: str
    email: str
    phones: list[str]
    working_hours: dict[str, str]
    delivery_zones: list[Zone]
    created_at: datetime | None
    updated_at: datetime | None


class Zones(BaseModel):
    """The delivery zones of a shop."""

    items: list[Zone]
    total: int


class ZoneAdded(BaseModel):
    """The delivery zones after a new one."""

    message: str
    zones: list[Zone]


class DatabaseHealth(BaseModel):
    """The state of the database."""

    status: str = "healthy"
    database: str = "connected"
    table_count: int
    database_type: str = "postgresql"


@health.get("/api/health/db")
async def database_health(shop: Shop) -> DatabaseHealth:
    """Whether the database answers; 503 if not."""
    return DatabaseHealth(table_count=await shop.reading.fetchval(TABLE_COUNT))


@router.get("/")
async def read(shop: Shop, caller: Reader) -> CompanyOut:
    """The settings of the caller's shop."""
    return _company(caller, await read_models.find(shop.reading, caller.tenant))


@router.patch("/", dependencies=[VISIBLE])
async def change(shop: Shop, caller: Reader, metadata: Authored, body: CompanyUpdate) -> CompanyOut:
    """Replace some of the settings."""
    return _company(caller, await handlers.change(shop, body.changes(), metadata))


@router.get("/delivery-zones")
async def zones(shop: Shop, caller: Reader) -> Zones:
    """The delivery zones of the caller's shop."""
    items = _zones(await read_models.find(shop.reading, caller.tenant))
    return Zones(items=items, total=len(items))


@router.post("/delivery-zones", status_code=201, dependencies=[VISIBLE])
async def add_zone(shop: Shop, caller: Reader, metadata: Authored, body: Zone) -> ZoneAdded:
    """Add a delivery zone; one with this name gets the new price."""
    added = _zones(await handlers.add_zone(shop, _zone(body), metadata))
    return ZoneAdded(message="Зона доставки добавлена", zones=added)


def _company(caller: Principal, settings: Settings) -> CompanyOut:
    company = settings.company
    return CompanyOut(
        id=shop_number(caller.tenant),
        name=company.name,
        address=company.address,
        email=company.email,
        phones=list(company.phones),
        working_hours={"from": company.opens_at, "to": company.closes_at},
        delivery_zones=_zones(settings),
        created_at=settings.created_at,
        updated_at=settings.updated_at,
    )


def _zone(zone: Zone) -> DeliveryZone:
    return DeliveryZone(name=zone.name, price=zone.price)


def _zones(settings: Settings) -> list[Zone]:
    return [Zone(name=zone.name, price=zone.price) for zone in settings.company.delivery_zones]
