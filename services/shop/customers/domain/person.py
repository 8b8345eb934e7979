"""What a shop knows of a person, in the clear: never for logs or events (spec shop §3, §4.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from libs import contact
from libs.errors import BadRequest, NotFound, Unfit


class BadPhone(Unfit):
    """Номер телефона не распознан"""


class AddressExists(BadRequest):
    """Такой адрес уже есть"""


class DateExists(BadRequest):
    """Такая дата уже есть"""


class CustomerUnknown(NotFound):
    """Клиент не найден"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """An address that orders were sent to, or that staff wrote down."""

    address_id: int
    address: str
    created_at: datetime
    label: str | None = None
    is_primary: bool = False
    usage_count: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportantDate:
    """A day of the year, `MM-DD`, of which staff are reminded some days before."""

    date_id: int
    date: str
    description: str
    created_at: datetime
    remind_days_before: int = 3
    last_reminded_year: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A customer's record. Phones are E.164; `other_phones` are those of merged records."""

    phone: str
    other_phones: tuple[str, ...] = ()
    name: str | None = None
    email: str | None = None
    notes: str | None = None
    preferences: str | None = None
    addresses: tuple[Address, ...] = ()
    dates: tuple[ImportantDate, ...] = ()

    @property
    def phones(self) -> tuple[str, ...]:
        """All numbers that lead to this customer."""
        return (self.phone, *self.other_phones)


def subject_id(customer_id: int) -> str:
    """The subject of the key that seals a customer's record."""
    return f"customer-{customer_id}"


def normal_phone(text: str) -> str:
    """The number as `+7…`, from any usual spelling (spec shop §1). Raises BadPhone."""
    try:
        return contact.zone7_phone(text)
    except contact.BadPhone:
        raise BadPhone from None


def with_address(person: Person, new: Address) -> Person:
    """The person with one more address. Raises AddressExists."""
    if any(one.address == new.address for one in person.addresses):
        raise AddressExists
    return replace(person, addresses=_with_one_primary((*person.addresses, new), new))


def with_addresses(person: Person, new: Iterable[Address]) -> Person:
    """The person with these addresses in place of the present ones. Those of the same text stay.

    Raises AddressExists for a text that is given twice.
    """
    known = {one.address: one for one in person.addresses}
    replaced = replace(person, addresses=())
    for address in new:
        before = known.get(address.address, address)
        kept = replace(before, label=address.label, is_primary=address.is_primary)
        replaced = with_address(replaced, kept)
    return replaced


def with_used_address(person: Person, address: Address, at: datetime) -> Person:
    """The person after an order to an address, which is added if it is new."""
    used = [
        replace(one, usage_count=one.usage_count + 1, last_used_at=at)
        if one.address == address.address
        else one
        for one in person.addresses
    ]
    if all(one.address != address.address for one in person.addresses):
        used.append(replace(address, usage_count=1, last_used_at=at))
    return replace(person, addresses=tuple(used))


def with_date(person: Person, new: ImportantDate) -> Person:
    """The person with one more date. Raises DateExists."""
    if any(_same_date(one, new) for one in person.dates):
        raise DateExists
    return replace(person, dates=(*person.dates, new))


def with_dates(person: Person, new: Iterable[ImportantDate]) -> Person:
    """The person with these dates in place of the present ones. Raises DateExists."""
    replaced = replace(person, dates=())
    for date in new:
        known = next((one for one in person.dates if _same_date(one, date)), date)
        replaced = with_date(replaced, replace(known, remind_days_before=date.remind_days_before))
    return replaced


def with_reminded(person: Person, years: Mapping[int, int]) -> Person:
    """The person after reminders: `years` has the year of the occurrence by the date's id."""
    return replace(
        person,
        dates=tuple(
            replace(one, last_reminded_year=years.get(one.date_id, one.last_reminded_year))
            for one in person.dates
        ),
    )


def merged(person: Person, other: Person) -> Person:
    """One person of two: what is missing is filled from the other, texts are joined (C12)."""
    dates = [one for one in other.dates if not any(_same_date(one, two) for two in person.dates)]
    return replace(
        person,
        other_phones=(*person.other_phones, *other.phones),
        name=person.name or other.name,
        email=person.email or other.email,
        notes=_joined(person.notes, other.notes),
        preferences=_joined(person.preferences, other.preferences),
        addresses=_merged_addresses(person.addresses, other.addresses),
        dates=(*person.dates, *dates),
    )


def _with_one_primary(addresses: tuple[Address, ...], new: Address) -> tuple[Address, ...]:
    if not new.is_primary:
        return addresses
    return tuple(replace(one, is_primary=one is new) for one in addresses)


def _merged_addresses(
    addresses: tuple[Address, ...], others: tuple[Address, ...]
) -> tuple[Address, ...]:
    by_text = {one.address: one for one in addresses}
    for other in others:
        known = by_text.get(other.address)
        by_text[other.address] = (
            replace(other, is_primary=False) if known is None else _used_as(known, other)
        )
    return tuple(by_text.values())


def _used_as(address: Address, other: Address) -> Address:
    moments = [one.last_used_at for one in (address, other) if one.last_used_at is not None]
    return replace(
        address,
        usage_count=address.usage_count + other.usage_count,
        last_used_at=max(moments, default=None),
    )


def _same_date(one: ImportantDate, other: ImportantDate) -> bool:
    return (one.date, one.description) == (other.date, other.description)


def _joined(text: str | None, other: str | None) -> str | None:
    parts = [part for part in (text, other) if part]
    return "\n".join(dict.fromkeys(parts)) or None
