"""What a shop knows of a person: phones, addresses, dates, and two records of one person."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shop.customers.domain.person import (
    Address,
    AddressExists,
    BadPhone,
    DateExists,
    ImportantDate,
    Person,
    merged,
    normal_phone,
    with_address,
    with_addresses,
    with_date,
    with_used_address,
)

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)


def address(text: str, number: int = 1, **more: object) -> Address:
    return Address(address_id=number, address=text, created_at=NOON, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spelling",
    ["+77012223344", "8 (701) 222-33-44", "7701 222 33 44", "701-222-33-44", "+7 701 222 33 44"],
)
def test_a_phone_has_one_form_however_it_is_spelled(spelling: str) -> None:
    assert normal_phone(spelling) == "+77012223344"


@pytest.mark.parametrize("text", ["", "12345", "+1 701 222 33 44", "770122233445", "телефон"])
def test_what_is_no_phone_is_refused(text: str) -> None:
    with pytest.raises(BadPhone):
        normal_phone(text)


@given(st.from_regex(r"\A[78]?[0-9]{10}\Z"))
def test_a_normal_phone_stays_as_it_is(text: str) -> None:
    try:
        phone = normal_phone(text)
    except BadPhone:
        return
    assert normal_phone(phone) == phone


def test_a_new_primary_address_replaces_the_present_one() -> None:
    person = with_address(Person(phone="+7"), address("Абая 1", is_primary=True))
    person = with_address(person, address("Абая 2", 2, is_primary=True))

    assert [one.is_primary for one in person.addresses] == [False, True]
    with pytest.raises(AddressExists):
        with_address(person, address("Абая 2"))


def test_replaced_addresses_keep_the_use_of_those_that_stay() -> None:
    person = with_used_address(Person(phone="+7"), address("Абая 1"), NOON)
    person = with_used_address(person, address("Абая 2", 2), NOON)

    person = with_addresses(person, [address("Абая 2", 9), address("Абая 3", 10)])

    assert [(one.address_id, one.usage_count) for one in person.addresses] == [(2, 1), (10, 0)]


def test_two_records_of_a_person_lose_nothing() -> None:
    birthday = ImportantDate(date_id=1, date="03-08", description="мама", created_at=NOON)
    kept = with_used_address(Person(phone="+71", notes="розы"), address("Абая 1"), NOON)
    other = Person(phone="+72", name="Анна", email="a@b.kz", notes="лилии", dates=(birthday,))
    other = with_used_address(other, address("Абая 1", 2), NOON + timedelta(days=1))
    other = with_address(other, address("Абая 2", 3))

    person = merged(kept, other)

    assert (person.phone, person.name, person.email) == ("+71", "Анна", "a@b.kz")
    assert person.notes == "розы\nлилии"
    assert person.dates == (birthday,)
    assert [(one.address, one.usage_count) for one in person.addresses] == [
        ("Абая 1", 2),
        ("Абая 2", 0),
    ]
    assert person.addresses[0].last_used_at == NOON + timedelta(days=1)
    with pytest.raises(DateExists):
        with_date(person, birthday)
