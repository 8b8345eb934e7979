"""GTINs and GS1 element strings: what is told, and what is refused rather than guessed or misread
(GS1 General Specifications; 7.9 has the check digits)."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.barcodes.elements import SEPARATOR, Amount, read
from libs.barcodes.faults import (
    BadBarcode,
    BadElement,
    NotDigits,
    RepeatedElement,
    UnknownElement,
    WrongCheckDigit,
    WrongLength,
)
from libs.barcodes.gtin import LENGTHS, check_digit, checked, gtin14

TODAY = date(2026, 11, 21)
GTIN = "04600000000015"


def said(text: str) -> dict[str, object]:
    return dict(read(text, today=TODAY))


def test_a_label_with_everything_on_it() -> None:
    parts = ("01", GTIN, "3103", "001250", "15", "261201", "10", "A-7", SEPARATOR)
    last = ("393", "2", "643", "19990", SEPARATOR, "21", "x/9")

    assert said("]C1" + "".join(parts + last)) == {
        "01": GTIN,
        "3103": Decimal("1.250"),
        "15": date(2026, 12, 1),
        "10": "A-7",
        "3932": Amount("643", Decimal("199.90")),
        "21": "x/9",
    }


def test_a_box_with_a_number_of_pieces() -> None:
    assert said(f"02{GTIN}37{12}{SEPARATOR}3922{450}") == {
        "02": GTIN,
        "37": 12,
        "3922": Decimal("4.50"),
    }
    assert said(f"30{8}") == {"30": 8}


@pytest.mark.parametrize(
    ("digits", "day"),
    [
        ("261100", date(2026, 11, 30)),
        ("280200", date(2028, 2, 29)),
        ("270228", date(2027, 2, 28)),
        ("760101", date(2076, 1, 1)),
        ("770101", date(1977, 1, 1)),
        ("991231", date(1999, 12, 31)),
    ],
)
def test_a_day_of_two_digit_years_is_the_nearest_and_day_00_the_last(
    digits: str, day: date
) -> None:
    for identifier in ("11", "13", "15", "17"):
        assert said(f"{identifier}{digits}") == {identifier: day}


def test_a_century_ahead_counts_too() -> None:
    assert read("17010101", today=date(2099, 1, 1)) == {"17": date(2101, 1, 1)}


def test_separators_where_none_are_needed_do_no_harm() -> None:
    text = f"{SEPARATOR}01{GTIN}{SEPARATOR}10A{SEPARATOR}"

    assert said(text) == said(f"01{GTIN}10A") == {"01": GTIN, "10": "A"}


def test_the_same_twice_is_fine_unless_it_differs() -> None:
    assert said(f"10A{SEPARATOR}10A") == {"10": "A"}
    with pytest.raises(RepeatedElement):
        said(f"10A{SEPARATOR}10B")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", BadElement),
        ("]d2", BadElement),
        ("00123", UnknownElement),
        ("5901234123457", UnknownElement),
        ("310", UnknownElement),
        ("3106001250", UnknownElement),
        ("310x001250", UnknownElement),
        (f"01{GTIN[:-1]}4", WrongCheckDigit),
        ("01123", BadElement),
        ("17261301", BadElement),
        ("17260231", BadElement),
        ("17260001", BadElement),
        ("17２６0101", BadElement),
        ("3103 01250", BadElement),
        ("3932643", BadElement),
        ("3932RUB100", BadElement),
        ("10", BadElement),
        ("10" + "A" * 21, BadElement),
        ("10Ж", BadElement),
        ("30123456789", BadElement),
        (f"10{SEPARATOR}21A", BadElement),
    ],
)
def test_what_is_wrong_is_refused_and_not_repeated(text: str, fault: type[BadBarcode]) -> None:
    with pytest.raises(fault) as refused:
        said(text)

    assert not text or text not in str(refused.value)


@given(st.text(max_size=60))
def test_whatever_is_scanned_is_read_or_refused(text: str) -> None:
    try:
        assert said(text)
    except BadBarcode:
        return


@given(
    st.text("0123456789", min_size=13, max_size=13),
    st.integers(0, 999_999),
    st.integers(0, 5),
    st.dates(date(1980, 1, 1), date(2070, 12, 31)),
    st.text("ABCxyz019-/", min_size=1, max_size=20),
)
def test_what_was_written_is_what_is_read(
    body: str, grams: int, places: int, day: date, batch: str
) -> None:
    gtin = body + check_digit(body)
    text = f"10{batch}{SEPARATOR}01{gtin}310{places}{grams:06}17{day:%y%m%d}"

    assert said(text) == {
        "10": batch,
        "01": gtin,
        f"310{places}": Decimal(grams).scaleb(-places),
        "17": day,
    }


GTINS = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.text("0123456789", min_size=length - 1, max_size=length - 1)
)


@pytest.mark.parametrize(
    "code", ["96385074", "95012346", "036000291452", "5901234123457", "6291041500213"]
)
def test_numbers_of_real_goods_are_numbers(code: str) -> None:
    assert checked(code) == code


def test_the_standards_own_check_digit_and_the_one_number_of_14_digits() -> None:
    assert check_digit("37610425002123456") == "9"
    assert gtin14("036000291452") == gtin14("0036000291452") == "00036000291452"


@pytest.mark.parametrize("code", ["", "123", "590123412345", "59012341234570"[:11]])
def test_what_is_too_long_or_too_short_is_none(code: str) -> None:
    with pytest.raises((WrongLength, WrongCheckDigit, NotDigits)):
        checked(code)


def test_only_the_digits_0_to_9_count() -> None:
    """What Unicode calls a digit is none that a printer prints."""
    for code in ("590123412345X", "5901234123457 ", "٥٩٠١٢٣٤١٢٣٤٥٧"):
        with pytest.raises(NotDigits):
            checked(code)


@given(GTINS, st.data())
def test_one_misread_digit_is_always_noticed(body: str, data: st.DataObject) -> None:
    code = body + check_digit(body)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != code[place]]))

    assert checked(code) == code
    with pytest.raises(WrongCheckDigit):
        checked(code[:place] + other + code[place + 1 :])
