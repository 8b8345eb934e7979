"""Requests about customers (spec shop §4.2)."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, EmailStr, Field

from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from services.shop.context import CUSTOMERS, ApiContext, Id, PathId, PlainText, Shop
from services.shop.customers import handlers, read_models
from services.shop.customers.domain import person as people
from services.shop.customers.domain.person import Address, CustomerUnknown, ImportantDate, Person
from services.shop.customers.handlers import ENTRIES, Loaded
from services.shop.customers.read_models import CustomerView

router = APIRouter(prefix="/api/customers", tags=["customers"])

Caller = Annotated[Principal, Depends(CUSTOMERS)]
Authored = Annotated[Metadata, metadata_of(CUSTOMERS)]
VISIBLE: Final = visible("customer")
SPENT_PER_POINT: Final = 50_000
ORDERS_PER_POINT: Final = 3
MOST_POINTS: Final = 5


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _as_address(value: object) -> object:
    # The admin sends bare texts, and `is_default` (spec shop §12).
    if isinstance(value, str):
        return {"address": value}
    if isinstance(value, dict) and "is_default" in value:
        return {"is_primary": value["is_default"], **value}
    return value


Name = Annotated[PlainText, Field(max_length=100)]
Note = Annotated[PlainText, Field(max_length=5000)]
AddressText = Annotated[PlainText, Field(min_length=1, max_length=500)]


class AddressInput(BaseModel):
    """An address of a customer."""

    address: AddressText
    label: Name | None = None
    is_primary: bool = False


class DateInput(BaseModel):
    """A day of the year to be reminded of."""

    date: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
    description: Annotated[PlainText, Field(min_length=1, max_length=200)]
    remind_days_before: Annotated[int, Field(ge=0, le=365)] = 3


GivenAddress = Annotated[AddressInput, BeforeValidator(_as_address)]
Addresses = Annotated[list[GivenAddress], Field(max_length=100)]
Dates = Annotated[list[DateInput], Field(max_length=100)]


class CustomerUpdate(BaseModel):
    """The fields of a customer to replace; `addresses` and `important_dates` as a whole."""

    phone: Name | None = None
    name: Name | None = None
    email: Annotated[EmailStr | None, BeforeValidator(_none_if_empty)] = None
    notes: Note | None = None
    preferences: Note | None = None
    source: Name | None = None
    addresses: Addresses | None = None
    important_dates: Dates | None = None

    def simple(self) -> dict[str, Any]:
        """The given fields that are plain texts, as those of `Person`."""
        fields = {"phone", "name", "email", "notes", "preferences"} & self.model_fields_set
        values = {name: getattr(self, name) for name in fields}
        if values.get("phone") is None:
            values.pop("phone", None)
            return values
        return {**values, "phone": people.normal_phone(values["phone"])}


class CustomerInput(CustomerUpdate):
    """A new customer."""

    phone: Name


class MergeInput(BaseModel):
    """Two records of one person."""

    keep_customer_id: Id
    merge_customer_id: Id


class AddressOutput(BaseModel):
    """An address of a customer."""

    id: int
    customer_id: int
    address: str
    label: str | None
    is_primary: bool
    usage_count: int
    last_used_at: datetime | None
    created_at: datetime


class DateOutput(BaseModel):
    """A day of the year of which staff are reminded."""

    id: int
    customer_id: int
    date: str
    description: str
    remind_days_before: int
    last_reminded_year: int | None
    created_at: datetime


class Score(BaseModel):
    """Recency, frequency and monetary value of a customer, 1 to 5 each."""

    recency: int
    frequency: int
    monetary: int
    total: int


class CustomerOutput(BaseModel):
    """A customer with the statistics of the orders; money in tenge."""

    id: int
    phone: str
    name: str | None
    email: str | None
    notes: str | None
    preferences: str | None
    source: str | None
    orders_count: int
    total_spent: int
    last_order_date: datetime | None
    created_at: datetime
    updated_at: datetime
    addresses: list[AddressOutput]
    important_dates: list[DateOutput]
    primary_address: AddressOutput | None
    rfm_score: Score


class CustomerPage(BaseModel):
    """A page of customers."""

    items: list[CustomerOutput]
    total: int


@router.get("/")
async def list_customers(
    shop: Shop,
    caller: Caller,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
    search: Annotated[PlainText, Query(max_length=100)] = "",
) -> CustomerPage:
    """Customers of the shop, the newest first. `search` looks in phone, name and e-mail address."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        views, total = await read_models.page(
            connection, search=search, limit=page.limit, offset=page.offset
        )
    return CustomerPage(items=[output_of(view) for view in views], total=total)


@router.post("/", status_code=201, dependencies=[VISIBLE])
async def create(
    shop: Shop, caller: Caller, metadata: Authored, body: CustomerInput
) -> CustomerOutput:
    """Register a customer; 400 if the phone has one."""
    person = Person(**{"phone": "", **body.simple()})
    person = people.with_addresses(person, await _addresses(shop, body.addresses or []))
    person = people.with_dates(person, await _dates(shop, body.important_dates or []))
    return await _written(
        shop, caller, await handlers.register(shop, person, body.source, metadata)
    )


@router.post("/merge", status_code=201, dependencies=[VISIBLE])
async def merge(shop: Shop, caller: Caller, metadata: Authored, body: MergeInput) -> CustomerOutput:
    """Merge a record into another: its orders, addresses and dates are that one's then."""
    loaded = await handlers.merge(shop, body.keep_customer_id, body.merge_customer_id, metadata)
    return await _written(shop, caller, loaded)


@router.get("/{customer_id}")
async def read(shop: Shop, caller: Caller, customer_id: PathId) -> CustomerOutput:
    """A customer of the shop."""
    return output_of(await _view(shop, caller, customer_id))


@router.put("/{customer_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, caller: Caller, metadata: Authored, customer_id: PathId, body: CustomerUpdate
) -> CustomerOutput:
    """Replace the given fields, all or none of them."""
    simple = body.simple()
    addresses = None if body.addresses is None else await _addresses(shop, body.addresses)
    dates = None if body.important_dates is None else await _dates(shop, body.important_dates)

    def transform(person: Person) -> Person:
        person = people.changed(person, simple)
        if addresses is not None:
            person = people.with_addresses(person, addresses)
        return person if dates is None else people.with_dates(person, dates)

    loaded = await handlers.change(shop, customer_id, transform, metadata, source=body.source)
    return await _written(shop, caller, loaded)


@router.post("/{customer_id}/addresses", status_code=201, dependencies=[VISIBLE])
async def add_address(
    shop: Shop, _: Caller, metadata: Authored, customer_id: PathId, body: GivenAddress
) -> AddressOutput:
    """Add an address; 400 if the customer has it."""
    (new,) = await _addresses(shop, [body])
    add = partial(people.with_address, new=new)
    await handlers.change(shop, customer_id, add, metadata)
    return _address(customer_id, new)


@router.post("/{customer_id}/important-dates", status_code=201, dependencies=[VISIBLE])
async def add_date(
    shop: Shop, _: Caller, metadata: Authored, customer_id: PathId, body: DateInput
) -> DateOutput:
    """Add a date; 400 if the customer has it."""
    (new,) = await _dates(shop, [body])
    await handlers.change(shop, customer_id, partial(people.with_date, new=new), metadata)
    return _date(customer_id, new)


@router.post("/{customer_id}/update-stats", status_code=201)
async def update_statistics(shop: Shop, caller: Caller, customer_id: PathId) -> CustomerOutput:
    """The customer; the statistics are up to date without this."""
    return output_of(await _view(shop, caller, customer_id))


def output_of(view: CustomerView) -> CustomerOutput:
    """A customer as the admin reads it."""
    person, customer_id = view.person, view.customer_id
    used = [one for one in person.addresses if one.last_used_at is not None]
    primary = max(used, key=lambda one: (one.last_used_at, one.address_id), default=None)
    return CustomerOutput(
        id=customer_id,
        phone=person.phone,
        name=person.name,
        email=person.email,
        notes=person.notes,
        preferences=person.preferences,
        source=view.source,
        orders_count=view.orders_count,
        total_spent=view.total_spent,
        last_order_date=view.last_order_at,
        created_at=view.created_at,
        updated_at=view.updated_at,
        addresses=[_address(customer_id, one) for one in person.addresses],
        important_dates=[_date(customer_id, one) for one in person.dates],
        primary_address=None if primary is None else _address(customer_id, primary),
        rfm_score=_score(view.orders_count, view.total_spent),
    )


def _score(orders: int, spent: int) -> Score:
    recency = MOST_POINTS if orders else 1
    frequency = min(MOST_POINTS, orders // ORDERS_PER_POINT + 1)
    monetary = min(MOST_POINTS, spent // SPENT_PER_POINT + 1)
    total = recency + frequency + monetary
    return Score(recency=recency, frequency=frequency, monetary=monetary, total=total)


async def _view(shop: ApiContext, caller: Principal, customer_id: int) -> CustomerView:
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        view = await read_models.find(connection, customer_id)
    if view is None:
        raise CustomerUnknown
    return view


async def _written(shop: ApiContext, caller: Principal, loaded: Loaded) -> CustomerOutput:
    """A customer right after a write, which the read model may not show yet."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        before = await read_models.find(connection, loaded.customer_id)
        statistics = await read_models.statistics(
            connection, [loaded.customer_id, *loaded.customer.merged]
        )
    now = shop.clock()
    return output_of(
        CustomerView(
            customer_id=loaded.customer_id,
            person=loaded.person,
            source=loaded.customer.source,
            created_at=before.created_at if before else now,
            updated_at=now,
            **statistics,
        )
    )


async def _addresses(shop: ApiContext, given: Sequence[AddressInput]) -> list[Address]:
    now = shop.clock()
    return [
        Address(
            address_id=await ENTRIES.next(shop.system),
            address=one.address,
            label=one.label,
            is_primary=one.is_primary,
            created_at=now,
        )
        for one in given
    ]


async def _dates(shop: ApiContext, given: Sequence[DateInput]) -> list[ImportantDate]:
    now = shop.clock()
    return [
        ImportantDate(
            date_id=await ENTRIES.next(shop.system),
            date=one.date,
            description=one.description,
            remind_days_before=one.remind_days_before,
            created_at=now,
        )
        for one in given
    ]


def _address(customer_id: int, one: Address) -> AddressOutput:
    return AddressOutput(
        id=one.address_id,
        customer_id=customer_id,
        address=one.address,
        label=one.label,
        is_primary=one.is_primary,
        usage_count=one.usage_count,
        last_used_at=one.last_used_at,
        created_at=one.created_at,
    )


def _date(customer_id: int, one: ImportantDate) -> DateOutput:
    return DateOutput(
        id=one.date_id,
        customer_id=customer_id,
        date=one.date,
        description=one.description,
        remind_days_before=one.remind_days_before,
        last_reminded_year=one.last_reminded_year,
        created_at=one.created_at,
    )
