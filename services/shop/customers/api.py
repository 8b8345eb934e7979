"""Requests about customers (spec shop §4.2)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, EmailStr, Field

from libs.errors import Unavailable
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.shop.context import (
    CUSTOMERS,
    ApiContext,
    Id,
    PathId,
    PlainText,
    Shop,
    await_writes,
)
from services.shop.customers import handlers, read_models
from services.shop.customers.domain import person as people
from services.shop.customers.domain.person import Address, CustomerUnknown, ImportantDate, Person
from services.shop.customers.handlers import ENTRIES

router = APIRouter(prefix="/api/customers", tags=["customers"])

Caller = Annotated[Principal, Depends(CUSTOMERS)]
Authored = Annotated[Metadata, metadata_of(CUSTOMERS)]
VISIBLE: Final = visible("customer")
SPENT_PER_POINT: Final = 50_000
ORDERS_PER_POINT: Final = 3
MOST_POINTS: Final = 5


def _as_address(value: object) -> object:
    # The admin sends bare texts, and `is_default` (spec shop §12).
    if isinstance(value, str):
        return {"address": value}
    if isinstance(value, dict) and "is_default" in value:
        return {"is_primary": value["is_default"], **value}
    return value


Name = Annotated[PlainText, Field(max_length=100)]
Note = Annotated[PlainText, Field(max_length=5000)]


class AddressInput(BaseModel):
    """An address of a customer."""

    address: Annotated[PlainText, Field(min_length=1, max_length=500)]
    label: Name | None = None
    is_primary: bool = False


class AddressOutput(BaseModel):
    """An address as it is stored."""

    id: int = Field(validation_alias="address_id")
    customer_id: int
    address: str
    label: str | None
    is_primary: bool
    usage_count: int
    last_used_at: datetime | None
    created_at: datetime


class DateInput(BaseModel):
    """A day of the year, `MM-DD`, of which staff are reminded some days before."""

    date: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
    description: Annotated[PlainText, Field(min_length=1, max_length=200)]
    remind_days_before: Annotated[int, Field(ge=0, le=365)] = 3


class DateOutput(BaseModel):
    """A day of the year as it is stored."""

    id: int = Field(validation_alias="date_id")
    customer_id: int
    date: str
    description: str
    remind_days_before: int
    last_reminded_year: int | None
    created_at: datetime


GivenAddress = Annotated[AddressInput, BeforeValidator(_as_address)]


class CustomerUpdate(BaseModel):
    """The fields of a customer to replace; `addresses` and `important_dates` as a whole."""

    phone: Name | None = None
    name: Name | None = None
    email: Annotated[EmailStr | None, BeforeValidator(lambda text: text or None)] = None
    notes: Note | None = None
    preferences: Note | None = None
    source: Name | None = None
    addresses: Annotated[list[GivenAddress], Field(max_length=100)] | None = None
    important_dates: Annotated[list[DateInput], Field(max_length=100)] | None = None

    def texts(self) -> dict[str, Any]:
        """The given fields of `Person` that are plain texts. Raises BadPhone."""
        given = self.model_dump(
            include={"phone", "name", "email", "notes", "preferences"}, exclude_unset=True
        )
        if (phone := given.pop("phone", None)) is not None:
            given["phone"] = people.normal_phone(phone)
        return given


class CustomerInput(CustomerUpdate):
    """A new customer."""

    phone: Name


class MergeInput(BaseModel):
    """Two records of one person."""

    keep_customer_id: Id
    merge_customer_id: Id


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


@router.get("/")
async def list_customers(
    shop: Shop,
    caller: Caller,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
    search: Annotated[PlainText, Query(max_length=100)] = "",
) -> Page[CustomerOutput]:
    """Customers of the shop, the newest first. `search` looks in phone, name and e-mail address."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await read_models.page(
            connection, search=search, limit=page.limit, offset=page.offset
        )
    return Page(items=[_output(row) for row in rows], total=total)


@router.post("/", status_code=201, dependencies=[VISIBLE])
async def create(
    shop: Shop, caller: Caller, metadata: Authored, body: CustomerInput
) -> CustomerOutput:
    """Register a customer; 400 if the phone has one."""
    person = (await _edit(shop, body))(Person(phone=""))
    customer_id = await handlers.register(shop, person, body.source, metadata)
    return await _written(shop, caller, customer_id)


@router.post("/merge", status_code=201, dependencies=[VISIBLE])
async def merge(shop: Shop, caller: Caller, metadata: Authored, body: MergeInput) -> CustomerOutput:
    """Merge a record into another: its orders, addresses and dates are that one's then."""
    await handlers.merge(shop, body.keep_customer_id, body.merge_customer_id, metadata)
    return await _written(shop, caller, body.keep_customer_id)


@router.get("/{customer_id}")
async def read(shop: Shop, caller: Caller, customer_id: PathId) -> CustomerOutput:
    """A customer of the shop."""
    if (row := await _row(shop, caller, customer_id)) is None:
        raise CustomerUnknown
    return _output(row)


@router.put("/{customer_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, caller: Caller, metadata: Authored, customer_id: PathId, body: CustomerUpdate
) -> CustomerOutput:
    """Replace the given fields, all or none of them."""
    edit = await _edit(shop, body)
    await handlers.change(shop, customer_id, edit, metadata, source=body.source)
    return await _written(shop, caller, customer_id)


@router.delete("/{customer_id}", status_code=204, dependencies=[visible("customer", "reminder")])
async def forget(shop: Shop, metadata: Authored, customer_id: PathId) -> None:
    """Forget a person, and what the orders say of persons; 409 while one of the orders is open.

    It cannot be undone. Safe to repeat.
    """
    await handlers.forget(shop, customer_id, metadata)


@router.post("/{customer_id}/addresses", status_code=201, dependencies=[VISIBLE])
async def add_address(
    shop: Shop, metadata: Authored, customer_id: PathId, body: GivenAddress
) -> AddressOutput:
    """Add an address; 400 if the customer has it."""
    (new,) = await _addresses(shop, [body])
    await handlers.change(shop, customer_id, partial(people.with_address, new=new), metadata)
    return AddressOutput(**asdict(new), customer_id=customer_id)


@router.post("/{customer_id}/important-dates", status_code=201, dependencies=[VISIBLE])
async def add_date(
    shop: Shop, metadata: Authored, customer_id: PathId, body: DateInput
) -> DateOutput:
    """Add a date; 400 if the customer has it."""
    (new,) = await _dates(shop, [body])
    await handlers.change(shop, customer_id, partial(people.with_date, new=new), metadata)
    return DateOutput(**asdict(new), customer_id=customer_id)


@router.post("/{customer_id}/update-stats", status_code=201)
async def update_statistics(shop: Shop, caller: Caller, customer_id: PathId) -> CustomerOutput:
    """The customer; the statistics are up to date without this."""
    return await read(shop, caller, customer_id)


async def _row(shop: ApiContext, caller: Principal, customer_id: int) -> Row | None:
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return await read_models.find(connection, customer_id)


async def _written(shop: ApiContext, caller: Principal, customer_id: int) -> CustomerOutput:
    """A customer with what this request wrote.

    Raises CustomerUnknown if it was merged into another or forgotten meanwhile, Unavailable.
    """
    await await_writes(shop, caller.tenant, "customer")
    if (row := await _row(shop, caller, customer_id)) is None:
        await handlers.load(shop, caller.tenant, customer_id)
        # It exists, but the read model is behind.
        raise Unavailable("customer")
    return _output(row)


def _output(row: Row) -> CustomerOutput:
    """A customer as the admin reads it."""
    person = msgspec.json.decode(row["person"], type=Person)
    owner = {"customer_id": row["customer_id"]}
    used = [one for one in person.addresses if one.last_used_at is not None]
    primary = max(used, key=lambda one: (one.last_used_at, one.address_id), default=None)
    return CustomerOutput.model_validate(
        {
            **row,
            **asdict(person),
            "id": row["customer_id"],
            "addresses": [asdict(one) | owner for one in person.addresses],
            "important_dates": [asdict(one) | owner for one in person.dates],
            "primary_address": primary and asdict(primary) | owner,
            "rfm_score": _score(row["orders_count"], row["total_spent"]),
        }
    )


def _score(orders: int, spent: int) -> Score:
    recency = MOST_POINTS if orders else 1
    frequency = min(MOST_POINTS, orders // ORDERS_PER_POINT + 1)
    monetary = min(MOST_POINTS, spent // SPENT_PER_POINT + 1)
    total = recency + frequency + monetary
    return Score(recency=recency, frequency=frequency, monetary=monetary, total=total)


async def _edit(shop: ApiContext, body: CustomerUpdate) -> Callable[[Person], Person]:
    """The change of a record that a body wants. Raises BadPhone."""
    texts = body.texts()
    addresses = None if body.addresses is None else await _addresses(shop, body.addresses)
    dates = None if body.important_dates is None else await _dates(shop, body.important_dates)

    def edit(person: Person) -> Person:
        person = replace(person, **texts)
        if addresses is not None:
            person = people.with_addresses(person, addresses)
        return person if dates is None else people.with_dates(person, dates)

    return edit


async def _addresses(shop: ApiContext, given: Sequence[AddressInput]) -> list[Address]:
    now = shop.clock()
    return [
        Address(address_id=await ENTRIES.next(shop.system), created_at=now, **one.model_dump())
        for one in given
    ]


async def _dates(shop: ApiContext, given: Sequence[DateInput]) -> list[ImportantDate]:
    now = shop.clock()
    return [
        ImportantDate(date_id=await ENTRIES.next(shop.system), created_at=now, **one.model_dump())
        for one in given
    ]
