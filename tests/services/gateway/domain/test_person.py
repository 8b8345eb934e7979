"""When two addresses are the same."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.person import (
    Address,
    BadAddress,
    Kind,
    Person,
    addresses_of,
    email,
    phone,
    telegram,
    tidy,
    username,
)

EMAIL, PHONE = Address(Kind.EMAIL, "anna@example.com"), Address(Kind.PHONE, "+79991234567")
Read = Callable[[str], Address]


@pytest.mark.parametrize(
    ("read", "address", "texts"),
    [
        (email, EMAIL, ["Anna@Example.com", " anna@EXAMPLE.com ", "ANNA@example.com", EMAIL.text]),
        (phone, PHONE, ["8 (999) 123-45-67", "+7 (999) 123-45-67", "79991234567", "+79991234567"]),
        (username, username("kiosk-1"), [" Kiosk-1 "]),
    ],
)
def test_every_spelling_is_the_same_address(read: Read, address: Address, texts: list[str]) -> None:
    assert [read(text) for text in texts] == [address] * len(texts)


def test_an_email_is_the_same_however_its_letters_are_composed() -> None:
    composed = unicodedata.normalize("NFC", "andré@example.com")

    assert email(unicodedata.normalize("NFD", composed)) == email(composed)


def test_a_phone_of_another_country_is_read_as_it_is_dialled_there() -> None:
    assert phone("020 7946 0018", "GB") == Address(Kind.PHONE, "+442079460018")


def test_the_same_text_of_another_kind_is_another_address() -> None:
    assert username("anna@example.com") != email("anna@example.com")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((email, text) for text in ("", "anna", "anna@", f"{EMAIL.text}\nbcc: eve@example.com")),
        *((phone, text) for text in ("", "12345", "not a phone")),
        *((username, text) for text in ("  ", "a\x00b", "a" * 101)),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(read: Read, text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        read(text)

    assert not text or text not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_telegram_account_has_a_positive_number() -> None:
    assert telegram(7) == Address(Kind.TELEGRAM, "7")
    with pytest.raises(BadAddress):
        telegram(-7)


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for read in (email, phone, username):
        try:
            address = read(text)
        except BadAddress:
            continue
        assert read(address.text) == address


def test_a_person_is_stored_as_they_wrote_it_with_the_phone_in_e164() -> None:
    written = Person(
        email=" Anna@Example.com", phone="8 (999) 123-45-67", username="", name=" Anna "
    )

    tidied = tidy(written)

    assert tidied == Person(email="Anna@example.com", phone="+79991234567", name="Anna")
    assert tidy(tidied) == tidied


def test_a_person_is_found_by_all_addresses_and_not_by_traits() -> None:
    anna = Person(email="a@example.com", username="anna", traits={"phone": "+79991234567"})

    assert addresses_of(anna) == {email("a@example.com"), username("anna")}
    assert addresses_of(replace(anna, email=None, username=None)) == frozenset()
