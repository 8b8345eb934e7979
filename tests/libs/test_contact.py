"""Phones, addresses and names: one normal form for all spellings, and masks that show no more."""

import traceback
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from libs.contact import (
    BadEmail,
    BadPhone,
    email,
    first_name,
    is_unchanged,
    mask_address,
    mask_email,
    mask_phone,
    phone,
    zone7_phone,
)

TEN = st.text("0123456789", min_size=10, max_size=10)
PLUS7 = TEN.map(lambda digits: f"+7{digits}")
LIKE_PHONES = st.text("0123456789+ ()-.", max_size=20)
MASKS: list[Callable[[str], str]] = [
    mask_phone,
    partial(mask_phone, first=0, hidden="+7 (***) ***-**", last=2),
    partial(mask_phone, first=2, hidden="•••", last=4),
]


@pytest.mark.parametrize(
    "text",
    [
        "8 (701) 222-33-44",
        "87012223344",
        "+7 701 222 33 44",
        "77012223344",
        "7012223344",
        "тел. 8-701-222-33-44",
    ],
)
def test_all_spellings_of_a_number_are_one(text: str) -> None:
    assert zone7_phone(text) == "+77012223344"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8 (999) 123-45-67", "+79991234567"),
        ("+7 (999) 123-45-67", "+79991234567"),
        ("79991234567", "+79991234567"),
        ("8-800-555-35-35", "+78005553535"),
    ],
)
def test_a_number_with_its_code_needs_no_bare_form(text: str, number: str) -> None:
    assert zone7_phone(text, bare=False) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "12345", "+44 20 7946 0958", "+44 701 222 33", "880055535355", "+87012223344"),
        *("++77012223344", "+7+7012223344", "7701222+3344", "٧٧٠١٢٢٢٣٣٤٤", "not a phone"),
    ],
)
def test_what_is_no_number_of_zone_7_is_refused(text: str) -> None:
    for bare in (True, False):
        with pytest.raises(BadPhone):
            zone7_phone(text, bare=bare)


def test_ten_digits_alone_are_refused_unless_bare() -> None:
    with pytest.raises(BadPhone):
        zone7_phone("9991234567", bare=False)


@given(TEN, st.sampled_from(["+7", "7", "8", ""]), st.text(" ()-.\u00a0", max_size=5))
def test_every_ten_digits_have_one_normal_form_which_is_its_own(
    national: str, code: str, between: str
) -> None:
    number = zone7_phone(f"{code}{between}{national[:3]}{between}{national[3:]}")

    assert number == f"+7{national}"
    assert zone7_phone(number) == zone7_phone(number, bare=False) == number


@given(LIKE_PHONES, st.sampled_from(["KZ", "RU", "GB", "IT"]))
@example("8 (999) 123-45-67", "RU")
def test_a_number_in_e164_is_its_own_normal_form(text: str, region: str) -> None:
    try:
        number = phone(text, region)
    except BadPhone:
        return
    assert phone(number, region) == phone(number, "US") == number


@given(PLUS7)
def test_both_readings_agree_on_numbers_with_their_country_code(number: str) -> None:
    assert phone(number, "KZ") == zone7_phone(number) == number


@pytest.mark.parametrize("text", ["12345", "8 шесть"])
def test_what_is_no_phone_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(BadPhone) as refused:
        phone(text, "KZ")
    assert text not in "".join(traceback.format_exception(refused.value))


@given(st.emails())
@example("Anna@Example.COM")
def test_an_e_mail_address_in_its_normal_form_stays(text: str) -> None:
    try:
        address = email(f"  {text} ")
    except BadEmail:
        assume(False)
        raise
    assert email(address) == address


def test_the_domain_of_an_e_mail_address_is_lower_cased() -> None:
    assert email(" Anna@Example.COM") == "Anna@example.com"


@pytest.mark.parametrize("text", ["", "anna", "anna@", "@example.com", "a b@example.com"])
def test_what_is_no_e_mail_address_is_refused(text: str) -> None:
    with pytest.raises(BadEmail):
        email(text)


def test_masks_of_a_phone_as_the_clients_know_them() -> None:
    masked = [mask("+77011234567") for mask in MASKS]

    assert masked == ["+77011****67", "+7 (***) ***-**67", "+7•••4567"]


@given(PLUS7, TEN)
def test_a_masked_phone_depends_on_the_visible_digits_alone(number: str, other: str) -> None:
    twin = number[:6] + other[:4] + number[-2:]

    assert mask_phone(number) == mask_phone(twin) == mask_phone(mask_phone(number))


@given(st.text(max_size=8))
def test_a_short_phone_is_hidden_as_a_whole(text: str) -> None:
    assert mask_phone(text) == "****"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("anna@example.com", "an***@example.com"),
        ("an@example.com", "**@example.com"),
        ("a@example.com", "**@example.com"),
        ("anna", "****"),
    ],
)
def test_masks_of_an_e_mail_address(text: str, masked: str) -> None:
    assert mask_email(text) == masked


@given(st.text("abcdef", min_size=1), st.text("abcdef", min_size=1))
def test_a_masked_e_mail_address_shows_two_letters_at_most(local: str, other: str) -> None:
    assume(len(local) > 2 and len(other) > 2)

    assert mask_email(f"{local}@x.kz") == mask_email(f"{local[:2]}{other}@x.kz")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ул. Абая 15", "ул. Абая *****"),
        ("Алматы, ул. Абая 15, кв. 3", "ул. Абая *****"),
        ("ул. Абая, 15-3", "ул. Абая *****"),
        ("Анна Иванова, проспект Достык 5/2", "проспект Достык *****"),
        ("мкр. Самал-2, дом 33", "мкр. *****"),
        ("15 мкр", "*****"),
        ("у вокзала, спросить Анну", "*****"),
        ("", "*****"),
    ],
)
def test_of_an_address_the_street_is_shown(text: str, masked: str) -> None:
    assert mask_address(text) == masked


@given(st.text())
def test_a_masked_address_shows_no_number_and_nothing_behind_the_first_one(text: str) -> None:
    masked = mask_address(text)

    assert masked.endswith("*****")
    assert not any(map(str.isnumeric, masked))


@given(st.text("абв ,.", max_size=20), st.text(max_size=20))
def test_what_follows_the_first_number_does_not_change_a_mask(street: str, rest: str) -> None:
    assert mask_address(f"{street} 1 {rest}") == mask_address(f"{street} 1")


@pytest.mark.parametrize(
    ("name", "shown"), [("Анна Ивановна Петрова", "Анна"), (" Anna ", "Anna"), ("", "")]
)
def test_of_a_name_the_first_word_is_shown(name: str, shown: str) -> None:
    assert first_name(name) == shown


@given(PLUS7, PLUS7)
def test_a_form_that_came_back_masked_changes_nothing(number: str, other: str) -> None:
    for same in ("", " ", number, mask_phone(number), f" {mask_phone(number)} "):
        assert is_unchanged(same, number, mask_phone)
    assume(other != number)
    assert not is_unchanged(other, number, mask_phone)
